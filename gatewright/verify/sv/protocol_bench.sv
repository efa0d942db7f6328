// The machine with open AXI ports, for a memory that knows nothing of the contract (cocotbext-axi). It asks for IDs.
module protocol_bench #(
    parameter int INSTRUCTIONS = 1 << 15,
    parameter int WRITES = 1 << 17,
    parameter int SCRATCHPAD_BYTES = 1 << 18
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
    input logic [7:0] s_axi_awaddr,
    input logic s_axi_awvalid,
    output logic s_axi_awready,
    input logic [31:0] s_axi_wdata,
    input logic [3:0] s_axi_wstrb,
    input logic s_axi_wvalid,
    output logic s_axi_wready,
    output logic [1:0] s_axi_bresp,
    output logic s_axi_bvalid,
    input logic s_axi_bready,
    input logic [7:0] s_axi_araddr,
    input logic s_axi_arvalid,
    output logic s_axi_arready,
    output logic [31:0] s_axi_rdata,
    output logic [1:0] s_axi_rresp,
    output logic s_axi_rvalid,
    input logic s_axi_rready,
    output logic [31:0] m_axi_araddr,
    output logic [7:0] m_axi_arlen,
    output logic [2:0] m_axi_arsize,
    output logic [1:0] m_axi_arburst,
    output logic m_axi_arvalid,
    input logic m_axi_arready,
    input logic [127:0] m_axi_rdata,
    input logic [1:0] m_axi_rresp,
    input logic m_axi_rlast,
    input logic m_axi_rvalid,
    output logic m_axi_rready,
    output logic [31:0] m_axi_awaddr,
    output logic [7:0] m_axi_awlen,
    output logic [2:0] m_axi_awsize,
    output logic [1:0] m_axi_awburst,
    output logic m_axi_awvalid,
    input logic m_axi_awready,
    output logic [127:0] m_axi_wdata,
    output logic [15:0] m_axi_wstrb,
    output logic m_axi_wlast,
    output logic m_axi_wvalid,
    input logic m_axi_wready,
    input logic [1:0] m_axi_bresp,
    input logic m_axi_bvalid,
    output logic m_axi_bready,
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
