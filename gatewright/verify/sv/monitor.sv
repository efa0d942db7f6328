// Compares what the machine tells about itself with what the simulator expects, event by event.
//
// Expectations come from files of image_<n>/ in the folder +job= when `load` is 1 (expectations.py writes them);
// what was found goes to result.txt there (difference.py reads it), and where cycles are not compared all events to
// events_seen.txt. At the first difference the comparison stops;
// the machine runs on for a while, to see when a missing event comes after all.
`include "ports.svh"

module monitor #(
    parameter int INSTRUCTIONS = 1 << 15, // of a program, executed
    parameter int WRITES = 1 << 17,       // to the scratchpad, and of beats to DRAM
    parameter int SCRATCHPAD_BYTES = 1 << 18
) (
    input logic clk,
    input logic rst,
    input logic load,
    input logic dump,
    input logic [31:0] image,
    input logic [31:0] base,
    `GATEWRIGHT_TRACE_INPUTS,
    input logic write_seen,
    input logic [31:0] write_address,
    input logic [127:0] write_data,
    input logic [15:0] write_strobe,
    input logic quiet,
    input logic rule_fault,
    input logic [7:0] rule_code,
    input logic [31:0] rule_value,
    output logic [31:0] cycle,            // that ended with the last clock edge, 0 while nothing runs
    output logic finished,
    output logic different
);
    localparam int UNITS = `GATEWRIGHT_UNITS, STORE = `GATEWRIGHT_UNIT_STORE, SEQUENCER = `GATEWRIGHT_UNIT_SEQUENCER;
    localparam int DISPATCH = 0, START = 1, RUN = 2, RETIRE = 3, STOP = 4;
    localparam logic [31:0] NEVER = 32'hFFFFFFFF;
    localparam int AFTER_STOP = 32;       // cycles in which nothing more may happen

    // Word by word as in expectations.py.
    logic [31:0] settings [48];
    wire exact = settings[0][0];
    wire compare_writes = settings[1][0];
    wire compare_dram = settings[2][0];
    wire [31:0] stop_cycle = settings[3], limit = settings[4], grace = settings[5];
    wire [31:0] instructions = settings[6], dram_writes = settings[7];

    logic [127:0] events [INSTRUCTIONS];    // by unit, then in program order; the cycle of each kind, the first lowest
    logic [3:0] order [INSTRUCTIONS];       // units in program order
    logic [415:0] writes [WRITES];          // to the scratchpad, by unit: address (24 bits), count (8), data (384)
    logic [159:0] dram_beats [WRITES];      // address (32), data (128)
    logic [127:0] scratchpad [SCRATCHPAD_BYTES / 16]; // in words: a line of the file for each

    logic running, stopped, error_seen;
    logic [31:0] now, ending;
    logic [31:0] count [4][UNITS];          // events so far
    logic [31:0] due [4][UNITS];            // cycle of the next one
    logic [31:0] write_count [UNITS];       // writes to the scratchpad so far
    logic [31:0] dispatched, dram_count, boots;
    logic late_watch;                       // a missing event is looked for
    int late_kind, late_unit;
    logic [31:0] late_cycle;
    int seen_events;                        // file of all events, where they need not come in the simulator's cycles
    string line, folder;
    initial if (!$value$plusargs("job=%s", folder)) folder = ".";

    function automatic string file(input string name);
        return $sformatf("%s/image_%0d/%s", folder, image, name);
    endfunction

    function automatic logic [31:0] total(input int unit);
        return settings[16 + unit];
    endfunction

    function automatic logic [31:0] write_total(input int unit);
        return settings[32 + unit];
    endfunction

    function automatic logic [31:0] due_of(input int kind, input int unit, input logic [31:0] number);
        return number < total(unit) ? events[settings[24 + unit] + number][32*kind +: 32] : NEVER;
    endfunction

    function automatic string kind_name(input int kind, input int unit);
        case (kind)
            DISPATCH: return unit == SEQUENCER ? "control" : "dispatch";
            START: return "start";
            RUN: return "run";
            default: return "retire";
        endcase
    endfunction

    task automatic differs(input string text);
        if (!different) begin
            different <= 1;
            line = $sformatf("difference cycle=%0d %s", now, text);
            ending = now;
        end
    endtask

    // A missing event: see for a while whether it comes after all.
    task automatic watch_for(input int kind, input int unit);
        late_watch = 1;
        late_kind = kind;
        late_unit = unit;
        ending = now + grace;
    endtask

    // An event of a unit: in exact mode it has its cycle, otherwise only its number.
    task automatic check_event(input int kind, input int unit, input logic seen);
        logic [31:0] number, expected;
        expected = due[kind][unit];
        if (!seen && expected != now) return;
        number = count[kind][unit];
        if (late_watch && seen && kind == late_kind && unit == late_unit) begin
            late_cycle = now;
            late_watch = 0;
            ending = now;
        end
        if (!different && line == "") begin
            if (seen && number >= total(unit))
                differs($sformatf("kind=%s unit=%0d number=%0d expected=never got=%0d",
                    kind_name(kind, unit), unit, number, now));
            else if (exact && seen != (expected == now)) begin
                differs($sformatf("kind=%s unit=%0d number=%0d expected=%0d got=%s",
                    kind_name(kind, unit), unit, number, expected, seen ? $sformatf("%0d", now) : "late"));
                if (!seen) watch_for(kind, unit);
            end
        end
        if (seen) begin
            if (!exact) $fdisplay(seen_events, "%0d %0d %0d", unit, kind, now);
            count[kind][unit] = number + 1;
            due[kind][unit] = exact ? due_of(kind, unit, number + 1) : NEVER;
        end
    endtask

    task automatic check_order(input int unit);
        if (line == "" && dispatched < instructions && unit != int'(order[dispatched]))
            differs($sformatf("kind=order number=%0d expected=%0d got=%0d", dispatched, order[dispatched], unit));
        dispatched = dispatched + 1;
    endtask

    task automatic check_write();
        logic [31:0] number;
        logic [415:0] expected;
        logic [383:0] mask, data;
        int unit, at;
        unit = int'(trace_write_unit);
        number = write_count[unit];
        mask = (384'd1 << (8 * 9'(trace_write_count))) - 1;
        data = trace_write_data & mask;
        if (trace_write_count > 48 || trace_write_count == 0) begin
            if (line == "") differs($sformatf("kind=write unit=%0d number=%0d expected=legal got_address=%0d got_count=%0d got_data=%h",
                unit, number, trace_write_address, trace_write_count, trace_write_data));
        end else if (compare_writes && line == "") begin
            expected = number < write_total(unit) ? writes[settings[40 + unit] + number] : '0;
            if (number >= write_total(unit))
                differs($sformatf("kind=write unit=%0d number=%0d got_address=%0d got_count=%0d got_data=%h",
                    unit, number, trace_write_address, trace_write_count, data));
            else if (expected != {4'd0, trace_write_address, 2'd0, trace_write_count, data})
                differs($sformatf("kind=write unit=%0d number=%0d expected_address=%0d expected_count=%0d expected_data=%h got_address=%0d got_count=%0d got_data=%h",
                    unit, number, expected[415:392], expected[391:384], expected[383:0],
                    trace_write_address, trace_write_count, data));
        end
        write_count[unit] = number + 1;
        for (int lane = 0; lane < 48; lane++)
            if (lane < int'(trace_write_count)) begin
                at = (int'(trace_write_address) + lane) % SCRATCHPAD_BYTES;
                scratchpad[at / 16][8*(at % 16) +: 8] = trace_write_data[8*lane +: 8];
            end
    endtask

    task automatic check_dram();
        logic [159:0] expected;
        expected = dram_count < dram_writes ? dram_beats[dram_count] : '0;
        if (compare_dram && line == "" &&
            (dram_count >= dram_writes || expected != {write_address - base, write_data} || write_strobe != '1))
            differs($sformatf("kind=dram number=%0d expected_address=%0d expected_data=%h got_address=%0d got_data=%h got_strobe=%h",
                dram_count, expected[159:128], expected[127:0], write_address - base, write_data, write_strobe));
        dram_count = dram_count + 1;
    endtask

    // Everything that should have happened by the end.
    task automatic check_totals();
        for (int kind = 0; kind < 4; kind++)
            for (int unit = 1; unit < (kind == DISPATCH ? UNITS : SEQUENCER); unit++)
                if (line == "" && count[kind][unit] != total(unit))
                    differs($sformatf("kind=total event=%s unit=%0d expected=%0d got=%0d",
                        kind_name(kind, unit), unit, total(unit), count[kind][unit]));
        for (int unit = 0; unit < UNITS; unit++)
            if (line == "" && compare_writes && write_count[unit] != write_total(unit))
                differs($sformatf("kind=total event=write unit=%0d expected=%0d got=%0d",
                    unit, write_total(unit), write_count[unit]));
        if (line == "" && compare_dram && dram_count != dram_writes)
            differs($sformatf("kind=total event=dram unit=%0d expected=%0d got=%0d", STORE, dram_writes, dram_count));
        if (line == "" && !quiet) differs("kind=unfinished");
    endtask

    task automatic finish();
        int result;
        result = $fopen(file("result.txt"), "w");
        if (line != "") $fdisplay(result, "%s%s", line, late_cycle != 0 ? $sformatf(" late=%0d", late_cycle) : "");
        $fdisplay(result, "totals stopped=%0d cycle=%0d instructions=%0d dram_writes=%0d",
            stopped, stopped ? stop_seen : now, dispatched, dram_count);
        for (int unit = 1; unit < UNITS; unit++)
            $fdisplay(result, "unit=%0d dispatch=%0d start=%0d run=%0d retire=%0d write=%0d", unit,
                count[DISPATCH][unit], count[START][unit], count[RUN][unit], count[RETIRE][unit], write_count[unit]);
        $fclose(result);
        if (!exact) $fclose(seen_events);
        finished <= 1;
        running = 0;
    endtask
    logic [31:0] stop_seen;

    task automatic prepare();
        logic [31:0] written;
        `GATEWRIGHT_READ_FILE(file("settings.bin"), settings, 48)
        if (instructions != 0) begin
            `GATEWRIGHT_READ_FILE(file("events.bin"), events, instructions)
            `GATEWRIGHT_READ_FILE(file("order.bin"), order, instructions)
        end
        written = 0;
        for (int unit = 0; unit < UNITS; unit++) written = written + write_total(unit);
        if (written != 0) `GATEWRIGHT_READ_FILE(file("scratchpad_writes.bin"), writes, written)
        if (dram_writes != 0) `GATEWRIGHT_READ_FILE(file("dram_writes.bin"), dram_beats, dram_writes)
        for (int unit = 0; unit < UNITS; unit++) begin
            write_count[unit] = 0;
            for (int kind = 0; kind < 4; kind++) begin
                count[kind][unit] = 0;
                due[kind][unit] = settings[0][0] && unit != 0 && (unit != SEQUENCER || kind == DISPATCH)
                    ? due_of(kind, unit, 0) : NEVER;
            end
        end
        for (int at = 0; at < SCRATCHPAD_BYTES / 16; at++) scratchpad[at] = 0;
        {running, stopped, error_seen, late_watch} = '0;
        {dispatched, dram_count, late_cycle, boots, stop_seen} = '0;
        if (!settings[0][0]) seen_events = $fopen(file("events_seen.txt"), "w");
        line = "";
        finished <= 0;
        different <= 0;
        cycle <= 0;
    endtask

    always @(posedge clk) begin
        if (dump) `GATEWRIGHT_WRITE_FILE(file("scratchpad_out.bin"), scratchpad, SCRATCHPAD_BYTES / 16)
        if (rst || load) begin
            if (load) prepare();
            else {running, finished, different} <= '0;
        end else begin
            now = trace_boot || !running ? 0 : now + 1; // the cycle that this clock edge ends
            if (trace_boot && !finished) begin
                running = 1;
                boots = boots + 1;
                ending = limit;
                if (boots > 1) differs("kind=boot");
            end
            cycle <= now;
            if (running) begin
                if (rule_fault && line == "") differs($sformatf("kind=rule code=%0d value=%0d", rule_code, rule_value));
                if (trace_error && line == "") differs("kind=error");
                if (trace_dispatch) check_order(int'(trace_dispatch_unit));
                if (trace_control) check_order(SEQUENCER);
                check_event(DISPATCH, SEQUENCER, trace_control);
                for (int unit = 1; unit < SEQUENCER; unit++) begin
                    check_event(DISPATCH, unit, trace_dispatch && int'(trace_dispatch_unit) == unit);
                    check_event(START, unit, trace_start[unit]);
                    check_event(RUN, unit, trace_run[unit]);
                    check_event(RETIRE, unit, trace_retire[unit]);
                end
                if (trace_write) check_write();
                if (write_seen) check_dram();
                if (trace_stop) begin
                    stop_seen = now;
                    if (late_watch && late_kind == STOP) begin
                        late_cycle = now;
                        ending = now;
                    end
                    if (line == "" && (stopped || exact && now != stop_cycle))
                        differs($sformatf("kind=stop expected=%0d got=%0d", stop_cycle, now));
                    stopped = 1;
                    if (line == "") ending = now + AFTER_STOP;
                end else if (exact && !stopped && now == stop_cycle && line == "") begin
                    differs($sformatf("kind=stop expected=%0d got=late", stop_cycle));
                    watch_for(STOP, SEQUENCER);
                end
                if (now >= ending) begin
                    if (line == "") begin
                        if (stopped) check_totals();
                        else differs($sformatf("kind=limit expected=%0d got=%0d", stop_cycle, now));
                    end
                    finish();
                end
            end
        end
    end
endmodule
