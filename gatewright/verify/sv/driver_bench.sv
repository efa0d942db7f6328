// The machine as a driver sees it: registers, memory, interrupt. No monitor; AXI's rules are watched.
`include "ports.svh"

module driver_bench #(
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
    input logic [31:0] base,        // where the memory begins
    input logic [31:0] image_beats, // how much of it answers
    input logic [31:0] stall,       // 0: the exact model; else a seed
    output logic raised,            // the interrupt, whose own name is a word of C++'s libraries
    output logic broken,            // a rule of AXI was broken: which one, and with what
    output logic [7:0] broken_code, // its number in `rules.py`; 0: more read bursts in flight than OUTSTANDING
    output logic [31:0] broken_value,
    `GATEWRIGHT_LITE_PORTS
);
    `GATEWRIGHT_BUS_SIGNALS
    `GATEWRIGHT_TRACE_SIGNALS
    gatewright gatewright (.interrupt(raised), .*);

    logic load, dump;               // of files: memory is the host's here
    assign {load, dump} = '0;
    logic [31:0] image;
    assign image = 0;
    logic memory_fault;
    logic [31:0] memory_value;
    dram_model #(BEATS, LATENCY, RATE_BEATS, RATE_CYCLES, BURST_GAP, OUTSTANDING, WRITE_START, SHARED) dram (
        .fault(memory_fault), .fault_value(memory_value), .*);

    logic fault, write_seen, quiet;
    logic [7:0] fault_code;
    logic [31:0] fault_value, write_address;
    logic [127:0] write_data;
    logic [15:0] write_strobe;
    axi_rules rules (.clear(1'b0), .*);

    always @(posedge clk)
        if (rst) broken <= 0;
        else if (!broken && (fault || memory_fault)) begin
            broken <= 1;
            broken_code <= fault ? fault_code : 0;
            broken_value <= fault ? fault_value : memory_value;
        end
endmodule
