// The DRAM behind the AXI ports: sections 5 and 9 of docs/architecture.md, section 4 of docs/rtl.md, to the cycle.
//
// Contents come from image_<n>/dram.bin of the folder +job= when `load` is 1, and go to dram_out.bin when `dump` is.
// Addresses count from `base`; outside the image the answer is DECERR. With `stall` other than 0 (a seed), ready,
// valid and the latencies are random, within what AXI allows; the order of the data stays.
`include "ports.svh"

module dram_model #(
    parameter int BEATS,  // 16 bytes each
    parameter int LATENCY,
    parameter int RATE_BEATS,   // RATE_BEATS beats take RATE_CYCLES cycles
    parameter int RATE_CYCLES,
    parameter int BURST_GAP,
    parameter int OUTSTANDING, // read bursts in flight
    parameter int WRITE_START,  // from a write's address on the bus to the first beat's slot
    parameter int SHARED        // 1: reads and writes share the data channel, in the order of their addresses
) (
    input logic clk,
    input logic rst,
    input logic load,
    input logic dump,
    input logic [31:0] image,
    input logic [31:0] image_beats,
    input logic [31:0] base,
    input logic [31:0] stall,
    `GATEWRIGHT_MEMORY_PORTS,
    output logic fault,             // more read bursts than OUTSTANDING are in flight
    output logic [31:0] fault_value
);
    localparam int WRITES = 512;    // write bursts, or answers, that may wait: more than the longest STORE has

    logic [127:0] memory [BEATS];
    string folder;
    initial if (!$value$plusargs("job=%s", folder)) folder = ".";

    // Randomness: a xorshift register, and how often to stall, drawn anew every 256 cycles.
    logic [31:0] random, stall_before;
    logic [2:0] weather;
    function automatic logic [31:0] shift(input logic [31:0] value);
        logic [31:0] a, b;
        a = value ^ (value << 13);
        b = a ^ (a >> 17);
        return b ^ (b << 5);
    endfunction
    function automatic logic stalls(input logic [2:0] bits);
        return stall != 0 && bits < weather;
    endfunction

    longint now;                    // the cycle that the clock edge begins
    longint shared_free;            // of a shared channel: where the next burst may begin
    function automatic longint jitter(input logic [7:0] bits);
        return stall != 0 ? longint'(bits) : 0;
    endfunction
    function automatic logic inside_image(input logic [31:0] address);
        return address >= base && (address - base) / `GATEWRIGHT_BEAT_BYTES < image_beats;
    endfunction

    // Reads: bursts that wait, the one under way, and the idle cycles behind it.
    logic [31:0] read_address [OUTSTANDING];
    logic [7:0] read_length [OUTSTANDING];
    longint read_ready [OUTSTANDING];
    longint read_taken [OUTSTANDING];
    int read_first, read_waiting, read_flight, read_phase, read_gap;
    logic reading, read_stalled;
    logic [31:0] read_from;
    logic [8:0] read_left;

    task automatic step_read();
        if (m_axi_rvalid && m_axi_rready && m_axi_rlast) read_flight = read_flight - 1;
        if (m_axi_arvalid && m_axi_arready) begin
            if (read_flight == OUTSTANDING) begin
                fault <= 1;
                fault_value <= m_axi_araddr;
            end else begin
                // On the bus in cycle now - 1, so the unit sent it in now - 2.
                read_address[(read_first + read_waiting) % OUTSTANDING] = m_axi_araddr;
                read_length[(read_first + read_waiting) % OUTSTANDING] = m_axi_arlen;
                read_ready[(read_first + read_waiting) % OUTSTANDING] = now - 2 + longint'(LATENCY) + jitter(random[15:8]);
                read_taken[(read_first + read_waiting) % OUTSTANDING] = now;
                read_waiting = read_waiting + 1;
                read_flight = read_flight + 1;
            end
        end
        if (!m_axi_rvalid || m_axi_rready) begin
            m_axi_rvalid <= 0;
            if (read_gap != 0) read_gap = read_gap - 1;
            else begin
                if (!reading && read_waiting != 0 && read_ready[read_first] <= now && read_turn()) begin
                    reading = 1;
                    read_phase = 0;
                    read_from = read_address[read_first];
                    read_left = 9'(read_length[read_first]) + 1;
                    read_first = (read_first + 1) % OUTSTANDING;
                    read_waiting = read_waiting - 1;
                end
                if (reading && !read_stalled) begin
                    read_phase = read_phase + RATE_BEATS;
                    if (read_phase >= RATE_CYCLES) begin
                        read_phase = read_phase - RATE_CYCLES;
                        m_axi_rvalid <= 1;
                        m_axi_rlast <= read_left == 1;
                        m_axi_rdata <= inside_image(read_from) ? memory[(read_from - base) / `GATEWRIGHT_BEAT_BYTES] : '0;
                        m_axi_rresp <= inside_image(read_from) ? `GATEWRIGHT_OKAY : `GATEWRIGHT_DECODE_ERROR;
                        read_from = read_from + `GATEWRIGHT_BEAT_BYTES;
                        read_left = read_left - 1;
                        if (read_left == 0) begin
                            reading = 0;
                            read_gap = BURST_GAP;
                            shared_free = now + 1 + longint'(BURST_GAP); // the last beat takes this cycle
                        end
                    end
                end
            end
        end
        m_axi_arready <= read_waiting < OUTSTANDING && !stalls(random[2:0]);
    endtask

    // Writes: the same, and the answers.
    logic [31:0] write_address [WRITES];
    logic [7:0] write_length [WRITES];
    longint write_ready [WRITES];
    longint write_taken [WRITES];
    int write_first, write_waiting, write_phase, write_gap;
    logic writing, write_failed;
    logic [31:0] write_to;
    logic [8:0] write_slots, write_left; // beats still to be given a slot; still to be taken
    longint answer_due [WRITES];
    logic [1:0] answer [WRITES];
    int answer_first, answer_count;

    // A shared channel: each burst's number is the cycle in which its address was taken, reads first at a tie.
    function automatic logic read_turn();
        return SHARED == 0 || (!writing && shared_free <= now
            && (write_waiting == 0 || read_taken[read_first] <= write_taken[write_first]));
    endfunction
    function automatic logic write_turn();
        return SHARED == 0 || (!reading && shared_free <= now
            && (read_waiting == 0 || write_taken[write_first] < read_taken[read_first]));
    endfunction

    task automatic take_beat();
        if (inside_image(write_to)) begin
            for (int lane = 0; lane < `GATEWRIGHT_BEAT_BYTES; lane++)
                if (m_axi_wstrb[lane]) memory[(write_to - base) / `GATEWRIGHT_BEAT_BYTES][8*lane +: 8] = m_axi_wdata[8*lane +: 8];
        end else write_failed = 1;
        write_to = write_to + `GATEWRIGHT_BEAT_BYTES;
        write_left = write_left - 1;
        if (write_left == 0) begin
            answer_due[(answer_first + answer_count) % WRITES] =
                now + longint'(BURST_GAP) + longint'(LATENCY) + jitter(random[23:16]);
            answer[(answer_first + answer_count) % WRITES] = write_failed ? `GATEWRIGHT_DECODE_ERROR : `GATEWRIGHT_OKAY;
            answer_count = answer_count + 1;
            writing = 0;
            write_gap = BURST_GAP;
            shared_free = now + longint'(BURST_GAP);
        end
    endtask

    task automatic step_write();
        if (m_axi_awvalid && m_axi_awready) begin
            write_address[(write_first + write_waiting) % WRITES] = m_axi_awaddr;
            write_length[(write_first + write_waiting) % WRITES] = m_axi_awlen;
            write_ready[(write_first + write_waiting) % WRITES] = now - 1 + longint'(WRITE_START) + jitter(random[31:24]);
            write_taken[(write_first + write_waiting) % WRITES] = now;
            write_waiting = write_waiting + 1;
        end
        if (m_axi_wvalid && m_axi_wready) take_beat();
        if (!m_axi_wready || m_axi_wvalid) begin
            m_axi_wready <= 0;
            if (write_gap != 0) write_gap = write_gap - 1;
            else begin
                if (!writing && write_waiting != 0 && write_ready[write_first] <= now && write_turn() && answer_count < WRITES) begin
                    writing = 1;
                    write_failed = 0;
                    write_phase = 0;
                    write_to = write_address[write_first];
                    write_left = 9'(write_length[write_first]) + 1;
                    write_slots = write_left;
                    write_first = (write_first + 1) % WRITES;
                    write_waiting = write_waiting - 1;
                end
                if (writing && write_slots != 0 && !stalls(random[5:3])) begin
                    write_phase = write_phase + RATE_BEATS;
                    if (write_phase >= RATE_CYCLES) begin
                        write_phase = write_phase - RATE_CYCLES;
                        write_slots = write_slots - 1;
                        m_axi_wready <= 1;
                    end
                end
            end
        end
        m_axi_awready <= write_waiting < WRITES && !stalls(random[8:6]);
    endtask

    task automatic step_answer();
        if (!m_axi_bvalid || m_axi_bready) begin
            m_axi_bvalid <= 0;
            if (answer_count != 0 && answer_due[answer_first] <= now) begin
                m_axi_bvalid <= 1;
                m_axi_bresp <= answer[answer_first];
                answer_first = (answer_first + 1) % WRITES;
                answer_count = answer_count - 1;
            end
        end
    endtask

    always @(posedge clk) begin
        now = now + 1;
        fault <= 0;
        if (load) `GATEWRIGHT_READ_FILE($sformatf("%s/image_%0d/dram.bin", folder, image), memory, image_beats)
        if (dump) `GATEWRIGHT_WRITE_FILE($sformatf("%s/image_%0d/dram_out.bin", folder, image), memory, image_beats)
        random = (load || rst || random == 0) ? stall ^ (image << 8) ^ 32'h9E3779B9 : shift(random);
        if (now[7:0] == 0) weather = random[30] ? random[28:26] : 0;
        read_stalled = stalls(random[11:9]);
        if (rst || load) begin
            {m_axi_arready, m_axi_rvalid, m_axi_awready, m_axi_wready, m_axi_bvalid} <= '0;
            {read_waiting, read_flight, read_gap, write_waiting, write_gap, answer_count} = '0;
            {reading, writing} = '0;
            shared_free = 0;
        end else begin
            step_write(); // first: a byte written in a cycle is there for a read in the next
            step_answer();
            step_read();
        end
    end
endmodule
