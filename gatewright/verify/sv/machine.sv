// The machine with its observers; the memory is outside. Ports are those of `gatewright` and what a bench needs.
module machine #(
    parameter int INSTRUCTIONS = 1 << 15,
    parameter int WRITES = 1 << 17,
    parameter int SCRATCHPAD_BYTES = 1 << 18
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
    output logic m_axi_bready
);
    logic trace_boot, trace_dispatch, trace_control, trace_stop, trace_write, trace_error;
    logic [2:0] trace_dispatch_unit, trace_write_unit;
    logic [7:0] trace_start, trace_run, trace_retire;
    logic [19:0] trace_write_address;
    logic [5:0] trace_write_count;
    logic [383:0] trace_write_data;
    gatewright gatewright (.*);

    localparam logic [7:0] OUTSTANDING = 13; // the memory's own rule, next to those of axi_rules.sv
    logic fault, write_seen, quiet;
    logic [7:0] fault_code;
    logic [31:0] fault_value, write_address;
    logic [127:0] write_data;
    logic [15:0] write_strobe;
    axi_rules rules (.clear(load), .*);

    wire rule_fault = fault || memory_fault;
    wire [7:0] rule_code = fault ? fault_code : OUTSTANDING;
    wire [31:0] rule_value = fault ? fault_value : memory_value;
    monitor #(INSTRUCTIONS, WRITES, SCRATCHPAD_BYTES) monitor (.*);
endmodule
