// What AXI asks of a master that sends incrementing bursts of whole 16-byte beats, checked at every clock edge.
//
// Also puts the beats of the write channel together with their addresses, in order, for whoever compares them:
// W beats may be accepted before their AW, so a beat comes out once its address is known, one in a cycle.
`include "ports.svh"

module axi_rules #(
    parameter int QUEUE = 1024 // bursts or beats that may wait for their other half
) (
    input logic clk,
    input logic rst,
    input logic clear,         // forget what waits: a new program begins
    `GATEWRIGHT_BUS_INPUTS,
    output logic fault,        // for one cycle, with its number in `rules.py` and an address
    output logic [7:0] fault_code,
    output logic [31:0] fault_value,
    output logic write_seen,   // a beat with its address
    output logic [31:0] write_address,
    output logic [127:0] write_data,
    output logic [15:0] write_strobe,
    output logic quiet         // no write burst is half done, and nothing is offered
);
    `GATEWRIGHT_RULES

    // The cycle before, to see whether an offer that was not taken still stands.
    logic ar_offered, aw_offered, w_offered;
    logic [44:0] ar_before, aw_before;
    logic [144:0] w_before;
    wire [44:0] ar_now = {m_axi_araddr, m_axi_arlen, m_axi_arsize, m_axi_arburst};
    wire [44:0] aw_now = {m_axi_awaddr, m_axi_awlen, m_axi_awsize, m_axi_awburst};
    wire [144:0] w_now = {m_axi_wdata, m_axi_wstrb, m_axi_wlast};

    logic [39:0] bursts [QUEUE];  // address, length
    logic [144:0] beats [QUEUE];
    int burst_first, burst_count, beat_first, beat_count;
    logic [8:0] beat;             // of the first burst

    task automatic report(input logic [7:0] code, input logic [31:0] value);
        fault <= 1;
        fault_code <= code;
        fault_value <= value;
    endtask

    function automatic logic crosses(input logic [31:0] address, input logic [7:0] length);
        return address % `GATEWRIGHT_BURST_BOUNDARY + (32'(length) + 1) * `GATEWRIGHT_BEAT_BYTES > `GATEWRIGHT_BURST_BOUNDARY;
    endfunction

    always @(posedge clk) begin
        fault <= 0;
        write_seen <= 0;
        ar_offered <= m_axi_arvalid && !m_axi_arready && !rst;
        aw_offered <= m_axi_awvalid && !m_axi_awready && !rst;
        w_offered <= m_axi_wvalid && !m_axi_wready && !rst;
        ar_before <= ar_now;
        aw_before <= aw_now;
        w_before <= w_now;
        if (rst || clear) begin
            burst_count = 0;
            beat_count = 0;
            beat = 0;
            if (rst && m_axi_arvalid) report(AR_IN_RESET, m_axi_araddr);
            if (rst && m_axi_awvalid) report(AW_IN_RESET, m_axi_awaddr);
            if (rst && m_axi_wvalid) report(W_IN_RESET, 0);
        end else begin
            if (ar_offered && (!m_axi_arvalid || ar_now != ar_before)) report(AR_UNSTABLE, m_axi_araddr);
            if (aw_offered && (!m_axi_awvalid || aw_now != aw_before)) report(AW_UNSTABLE, m_axi_awaddr);
            if (w_offered && (!m_axi_wvalid || w_now != w_before)) report(W_UNSTABLE, 0);
            if (m_axi_arvalid) begin
                if (m_axi_arsize != `GATEWRIGHT_BURST_SIZE || m_axi_arburst != `GATEWRIGHT_INCREMENTING
                    || m_axi_araddr % `GATEWRIGHT_BEAT_BYTES != 0) report(AR_KIND, m_axi_araddr);
                else if (crosses(m_axi_araddr, m_axi_arlen)) report(AR_BOUNDARY, m_axi_araddr);
            end
            if (m_axi_awvalid) begin
                if (m_axi_awsize != `GATEWRIGHT_BURST_SIZE || m_axi_awburst != `GATEWRIGHT_INCREMENTING
                    || m_axi_awaddr % `GATEWRIGHT_BEAT_BYTES != 0) report(AW_KIND, m_axi_awaddr);
                else if (crosses(m_axi_awaddr, m_axi_awlen)) report(AW_BOUNDARY, m_axi_awaddr);
            end
            if (m_axi_awvalid && m_axi_awready) begin
                if (burst_count == QUEUE) report(QUEUE_FULL, m_axi_awaddr);
                else begin
                    bursts[(burst_first + burst_count) % QUEUE] = {m_axi_awaddr, m_axi_awlen};
                    burst_count = burst_count + 1;
                end
            end
            if (m_axi_wvalid && m_axi_wready) begin
                if (beat_count == QUEUE) report(QUEUE_FULL, 0);
                else begin
                    beats[(beat_first + beat_count) % QUEUE] = w_now;
                    beat_count = beat_count + 1;
                end
            end
            if (burst_count != 0 && beat_count != 0) begin
                write_seen <= 1;
                write_address <= bursts[burst_first][39:8] + 32'(beat) * `GATEWRIGHT_BEAT_BYTES;
                {write_data, write_strobe} <= beats[beat_first][144:1];
                if (beats[beat_first][0] != (beat == 9'(bursts[burst_first][7:0])))
                    report(W_LAST, bursts[burst_first][39:8] + 32'(beat) * `GATEWRIGHT_BEAT_BYTES);
                if (beat == 9'(bursts[burst_first][7:0])) begin
                    beat = 0;
                    burst_first = (burst_first + 1) % QUEUE;
                    burst_count = burst_count - 1;
                end else beat = beat + 1;
                beat_first = (beat_first + 1) % QUEUE;
                beat_count = beat_count - 1;
            end
        end
        quiet <= burst_count == 0 && beat_count == 0 && !m_axi_arvalid && !m_axi_awvalid && !m_axi_wvalid;
    end
endmodule
