// The machine with open AXI ports, for a memory that knows nothing of the contract (cocotbext-axi). It asks for IDs.
`include "ports.svh"

module protocol_bench #(
    parameter int INSTRUCTIONS,
    parameter int WRITES,
    parameter int SCRATCHPAD_BYTES
) (
    input logic clk,
    input logic rst,
    input logic load,               // read the files of `image`
    input logic dump,               // write what memory and monitor hold
    input logic [31:0] image,
    input logic [31:0] base,        // where the program's image lies in DRAM
    output logic [31:0] cycle,      // of the program that runs
    output logic finished,          // the program has ended, or the first difference was found
    output logic different,
    output logic interrupt,
    `GATEWRIGHT_LITE_PORTS,
    `GATEWRIGHT_BUS_PORTS,
    output logic [3:0] m_axi_arid,
    output logic [3:0] m_axi_awid,
    input logic [3:0] m_axi_rid,
    input logic [3:0] m_axi_bid
);
    assign m_axi_arid = 0;
    assign m_axi_awid = 0;
    wire memory_fault = 0;
    wire [31:0] memory_value = 0;
    machine #(INSTRUCTIONS, WRITES, SCRATCHPAD_BYTES) machine (.*);
endmodule
