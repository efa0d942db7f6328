// Stands in for the machine in the tests of its bench: the same ports, but everything is read from files.
//
// image_<n>/replay_*.bin of the folder +job= say what to show in which cycle; n counts the programs started. What comes
// back on the bus is noted in arrivals.txt: a letter (r, b), the cycle, and the response or the data.
`include "ports.svh"

module gatewright (
    input logic clk, rst,
    input logic [7:0] s_axi_awaddr, input logic s_axi_awvalid, output logic s_axi_awready,
    input logic [31:0] s_axi_wdata, input logic [3:0] s_axi_wstrb, input logic s_axi_wvalid, output logic s_axi_wready,
    output logic [1:0] s_axi_bresp, output logic s_axi_bvalid, input logic s_axi_bready,
    input logic [7:0] s_axi_araddr, input logic s_axi_arvalid, output logic s_axi_arready,
    output logic [31:0] s_axi_rdata, output logic [1:0] s_axi_rresp, output logic s_axi_rvalid, input logic s_axi_rready,
    output logic [31:0] m_axi_araddr, output logic [7:0] m_axi_arlen, output logic [2:0] m_axi_arsize,
    output logic [1:0] m_axi_arburst, output logic m_axi_arvalid, input logic m_axi_arready,
    input logic [127:0] m_axi_rdata, input logic [1:0] m_axi_rresp, input logic m_axi_rlast, input logic m_axi_rvalid,
    output logic m_axi_rready,
    output logic [31:0] m_axi_awaddr, output logic [7:0] m_axi_awlen, output logic [2:0] m_axi_awsize,
    output logic [1:0] m_axi_awburst, output logic m_axi_awvalid, input logic m_axi_awready,
    output logic [127:0] m_axi_wdata, output logic [15:0] m_axi_wstrb, output logic m_axi_wlast,
    output logic m_axi_wvalid, input logic m_axi_wready,
    input logic [1:0] m_axi_bresp, input logic m_axi_bvalid, output logic m_axi_bready,
    output logic interrupt,
    output logic trace_boot, trace_dispatch, output logic [3:0] trace_dispatch_unit, output logic trace_control,
    output logic [7:0] trace_start, trace_run, trace_retire, output logic trace_stop, trace_write,
    output logic [3:0] trace_write_unit, output logic [19:0] trace_write_address, output logic [5:0] trace_write_count,
    output logic [383:0] trace_write_data, output logic trace_error
);
    localparam int SIZE = 1 << 17;
    logic [31:0] sizes [8];
    logic [479:0] script [SIZE];
    logic [71:0] ar [SIZE], aw [SIZE];   // from which cycle on, address, length
    logic [183:0] w [SIZE];              // from which cycle on, data, strobe, last (a byte)
    logic [31:0] registers [64];
    int image = -1, at, ar_at, aw_at, w_at, answers, file;
    longint cycle;
    logic running, done, enabled, withdrawn;
    string folder;
    initial if (!$value$plusargs("job=%s", folder)) folder = ".";

    assign s_axi_awready = s_axi_awvalid && s_axi_wvalid && !s_axi_bvalid;
    assign s_axi_wready = s_axi_awready;
    assign s_axi_arready = !s_axi_rvalid;
    assign {s_axi_bresp, s_axi_rresp} = '0;
    assign interrupt = done && enabled;
    assign {m_axi_arsize, m_axi_arburst, m_axi_awsize, m_axi_awburst} = {3'd4, 2'd1, 3'd4, 2'd1};
    assign {m_axi_rready, m_axi_bready} = '1;

    function automatic string path(input string name);
        return $sformatf("%s/image_%0d/replay_%s.bin", folder, image, name);
    endfunction

    task automatic begin_program();
        image = image + 1;
        `GATEWRIGHT_READ_FILE(path("sizes"), sizes, 8)
        if (sizes[0] != 0) `GATEWRIGHT_READ_FILE(path("script"), script, sizes[0])
        if (sizes[1] != 0) `GATEWRIGHT_READ_FILE(path("ar"), ar, sizes[1])
        if (sizes[2] != 0) `GATEWRIGHT_READ_FILE(path("aw"), aw, sizes[2])
        if (sizes[3] != 0) `GATEWRIGHT_READ_FILE(path("w"), w, sizes[3])
        `GATEWRIGHT_READ_FILE(path("registers"), registers, 64)
        {at, ar_at, aw_at, w_at, answers} = '0;
        cycle = 0;
        running = !sizes[6][0]; // the fault of a start without effect
        done = 0;
        file = $fopen($sformatf("%s/image_%0d/arrivals.txt", folder, image), "w");
    endtask

    always @(posedge clk) begin
        {trace_boot, trace_dispatch, trace_control, trace_start, trace_run, trace_retire} <= '0;
        {trace_stop, trace_write, trace_error} <= '0;
        if (s_axi_bready) s_axi_bvalid <= 0;
        if (s_axi_rready) s_axi_rvalid <= 0;
        if (rst) {s_axi_bvalid, s_axi_rvalid, running, done, enabled, m_axi_arvalid, m_axi_awvalid, m_axi_wvalid} <= '0;
        else begin
            // The cycle that ends: what came and went.
            if (m_axi_rvalid && file != 0) $fdisplay(file, "r %0d %h %0d", cycle, m_axi_rdata, m_axi_rresp);
            if (m_axi_bvalid) begin
                answers = answers + 1;
                if (file != 0) $fdisplay(file, "b %0d 0 %0d", cycle, m_axi_bresp);
            end
            if (running) cycle = cycle + 1;
            if (s_axi_awready) begin
                s_axi_bvalid <= 1;
                if (s_axi_awaddr == 8'h08 && s_axi_wdata[0]) begin_program();
                if (s_axi_awaddr == 8'h0C && s_axi_wdata[1]) done = 0;
                if (s_axi_awaddr == 8'h10) enabled = s_axi_wdata[0];
            end
            if (s_axi_arvalid && s_axi_arready) begin
                s_axi_rvalid <= 1;
                s_axi_rdata <= s_axi_araddr == 8'h0C ? {28'd0, !running, 1'b0, done, running} : registers[s_axi_araddr[7:2]];
            end
            // The cycle that begins: bus first, since the end of the program waits for it.
            if (!m_axi_arvalid || m_axi_arready) begin
                m_axi_arvalid <= 0;
                if (running && ar_at < int'(sizes[1]) && cycle >= longint'(ar[ar_at][71:40])) begin
                    m_axi_arvalid <= 1;
                    {m_axi_araddr, m_axi_arlen} <= ar[ar_at][39:0];
                    ar_at = ar_at + 1;
                end
            end else if (sizes[4][0]) m_axi_araddr <= m_axi_araddr + 16; // the fault of an unstable address
            if (!m_axi_awvalid || m_axi_awready) begin
                m_axi_awvalid <= 0;
                if (running && aw_at < int'(sizes[2]) && cycle >= longint'(aw[aw_at][71:40])) begin
                    m_axi_awvalid <= 1;
                    {m_axi_awaddr, m_axi_awlen} <= aw[aw_at][39:0];
                    aw_at = aw_at + 1;
                end
            end
            if (!m_axi_wvalid || m_axi_wready) begin
                m_axi_wvalid <= 0;
                if (running && w_at < int'(sizes[3]) && cycle >= longint'(w[w_at][183:152])) begin
                    m_axi_wvalid <= 1;
                    {m_axi_wdata, m_axi_wstrb} <= w[w_at][151:8];
                    m_axi_wlast <= w[w_at][0];
                    w_at = w_at + 1;
                end
            end
            if (running) begin
                trace_boot <= cycle == 0;
                if (at < int'(sizes[0]) && cycle >= longint'(script[at][31:0])) begin
                    // With stalls on the bus the last row waits until the bus is done.
                    if (!script[at][62] || answers >= int'(sizes[5])) begin
                        {trace_write, trace_error, trace_stop, trace_retire, trace_run, trace_start, trace_control,
                            trace_dispatch_unit, trace_dispatch} <= {script[at][65], script[at][63:32]};
                        {trace_write_data, trace_write_count, trace_write_address, trace_write_unit} <=
                            script[at][479:66];
                        if (script[at][64]) trace_boot <= 1;
                        if (script[at][62]) begin
                            running = 0;
                            done = 1;
                        end
                        at = at + 1;
                    end
                end
            end
        end
    end
endmodule
