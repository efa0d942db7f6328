// The machine with its observers; the memory is outside. Ports are those of `gatewright` and what a bench needs.
`include "ports.svh"

module machine #(
    parameter int INSTRUCTIONS,
    parameter int WRITES,
    parameter int SCRATCHPAD_BYTES
) (
    input logic clk,
    input logic rst,
    input logic load,
    input logic dump,
    input logic [31:0] image,
    input logic [31:0] base,
    input logic memory_fault,
    input logic [31:0] memory_value,
    output logic [31:0] cycle,
    output logic finished,
    output logic different,
    output logic interrupt,
    `GATEWRIGHT_LITE_PORTS,
    `GATEWRIGHT_BUS_PORTS
);
    `GATEWRIGHT_TRACE_SIGNALS
    gatewright gatewright (.*);

    `GATEWRIGHT_RULES
    logic fault, write_seen, quiet;
    logic [7:0] fault_code;
    logic [31:0] fault_value, write_address;
    logic [127:0] write_data;
    logic [15:0] write_strobe;
    axi_rules rules (.clear(load), .*);

    wire rule_fault = fault || memory_fault;
    wire [7:0] rule_code = fault ? fault_code : OUTSTANDING; // the memory's own rule
    wire [31:0] rule_value = fault ? fault_value : memory_value;
    monitor #(INSTRUCTIONS, WRITES, SCRATCHPAD_BYTES) monitor (.*);
endmodule
