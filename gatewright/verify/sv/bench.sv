// The machine with the DRAM model: compared with the simulator cycle by cycle, or, with `stall`, in order.
`include "ports.svh"

module bench #(
    parameter int INSTRUCTIONS,
    parameter int WRITES,
    parameter int SCRATCHPAD_BYTES,
    parameter int BEATS,
    parameter int LATENCY,
    parameter int RATE_BEATS,
    parameter int RATE_CYCLES,
    parameter int BURST_GAP,
    parameter int OUTSTANDING,
    parameter int WRITE_START,
    parameter int SHARED
) (
    input logic clk,
    input logic rst,
    input logic load,               // read the files of `image`
    input logic dump,               // write what memory and monitor hold
    input logic [31:0] image,
    input logic [31:0] base,        // where the program's image lies in DRAM
    input logic [31:0] image_beats,
    input logic [31:0] stall,       // 0: the exact model; else a seed
    output logic [31:0] cycle,      // of the program that runs
    output logic finished,          // the program has ended, or the first difference was found
    output logic different,
    output logic interrupt,
    output logic alone,             // a program runs and the host asks for nothing: main.cpp runs the clock
    `GATEWRIGHT_LITE_PORTS
);
    `GATEWRIGHT_BUS_SIGNALS
    wire host_asks = s_axi_awvalid || s_axi_wvalid || s_axi_bready || s_axi_arvalid || s_axi_rready;
    assign alone = cycle != 0 && !finished && !host_asks;
    logic memory_fault;
    logic [31:0] memory_value;
    machine #(INSTRUCTIONS, WRITES, SCRATCHPAD_BYTES) machine (.*);
    dram_model #(BEATS, LATENCY, RATE_BEATS, RATE_CYCLES, BURST_GAP, OUTSTANDING, WRITE_START, SHARED) dram (
        .fault(memory_fault), .fault_value(memory_value), .*);

`ifdef WAVES
    // A window of waveforms around a cycle that the plain build has found.
    int wave_image, wave_first, wave_last;
    string wave_file;
    logic waving = 0;
    initial begin
        if (!$value$plusargs("wave_image=%d", wave_image)) wave_image = -1;
        if (!$value$plusargs("wave_first=%d", wave_first)) wave_first = 0;
        if (!$value$plusargs("wave_last=%d", wave_last)) wave_last = 0;
        if (!$value$plusargs("wave_file=%s", wave_file)) wave_file = "window.vcd";
    end
    always @(posedge clk)
        if (!waving && int'(image) == wave_image && !finished && int'(cycle) >= wave_first && int'(cycle) < wave_last) begin
            $dumpfile(wave_file);
            $dumpvars(0, bench);
            waving <= 1;
        end else if (waving && (finished || int'(cycle) >= wave_last)) $dumpoff;
`endif
endmodule
