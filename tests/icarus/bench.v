// The machine as a user finds it: powered on, reset, and given programs over AXI4-Lite. What is done stands in the file
// +steps, a line of hexadecimal numbers and two file names each (tests/icarus/steps.py); a line of results answers each.
module icarus_bench;
  parameter LATENCY = 64;
  parameter RATE_BEATS = 3;
  parameter RATE_CYCLES = 4;
  parameter BURST_GAP = 1;
  localparam BEATS = 65536;
  localparam RUN = 0, ABORT = 1, RESET = 2;  // what a step does with its program

  reg clk = 0;
  reg rst = 0;
  reg stall = 0;
  reg watch = 0;
  always #5 clk = !clk;

  reg [7:0] s_awaddr, s_araddr;
  reg [31:0] s_wdata;
  reg [3:0] s_wstrb;
  reg s_awvalid = 0, s_wvalid = 0, s_bready = 0, s_arvalid = 0, s_rready = 0;
  wire s_awready, s_wready, s_bvalid, s_arready, s_rvalid;
  wire [1:0] s_bresp, s_rresp;
  wire [31:0] s_rdata;
  wire [31:0] araddr, awaddr;
  wire [7:0] arlen, awlen;
  wire [2:0] arsize, awsize;
  wire [1:0] arburst, awburst, rresp, bresp;
  wire arvalid, arready, rlast, rvalid, rready, awvalid, awready, wlast, wvalid, wready, bvalid, bready, interrupt;
  wire [127:0] rdata, wdata;
  wire [15:0] wstrb;
  wire trace_boot, trace_dispatch, trace_control, trace_stop, trace_error, trace_write;
  wire [3:0] trace_dispatch_unit, trace_write_unit;
  wire [7:0] trace_start, trace_run, trace_retire;
  wire [19:0] trace_write_address;
  wire [5:0] trace_write_count;
  wire [383:0] trace_write_data;

  gatewright machine (
      .clk(clk),
      .rst(rst),
      .s_axi_awaddr(s_awaddr),
      .s_axi_awvalid(s_awvalid),
      .s_axi_awready(s_awready),
      .s_axi_wdata(s_wdata),
      .s_axi_wstrb(s_wstrb),
      .s_axi_wvalid(s_wvalid),
      .s_axi_wready(s_wready),
      .s_axi_bresp(s_bresp),
      .s_axi_bvalid(s_bvalid),
      .s_axi_bready(s_bready),
      .s_axi_araddr(s_araddr),
      .s_axi_arvalid(s_arvalid),
      .s_axi_arready(s_arready),
      .s_axi_rdata(s_rdata),
      .s_axi_rresp(s_rresp),
      .s_axi_rvalid(s_rvalid),
      .s_axi_rready(s_rready),
      .m_axi_araddr(araddr),
      .m_axi_arlen(arlen),
      .m_axi_arsize(arsize),
      .m_axi_arburst(arburst),
      .m_axi_arvalid(arvalid),
      .m_axi_arready(arready),
      .m_axi_rdata(rdata),
      .m_axi_rresp(rresp),
      .m_axi_rlast(rlast),
      .m_axi_rvalid(rvalid),
      .m_axi_rready(rready),
      .m_axi_awaddr(awaddr),
      .m_axi_awlen(awlen),
      .m_axi_awsize(awsize),
      .m_axi_awburst(awburst),
      .m_axi_awvalid(awvalid),
      .m_axi_awready(awready),
      .m_axi_wdata(wdata),
      .m_axi_wstrb(wstrb),
      .m_axi_wlast(wlast),
      .m_axi_wvalid(wvalid),
      .m_axi_wready(wready),
      .m_axi_bresp(bresp),
      .m_axi_bvalid(bvalid),
      .m_axi_bready(bready),
      .interrupt(interrupt),
      .trace_boot(trace_boot),
      .trace_dispatch(trace_dispatch),
      .trace_dispatch_unit(trace_dispatch_unit),
      .trace_control(trace_control),
      .trace_start(trace_start),
      .trace_run(trace_run),
      .trace_retire(trace_retire),
      .trace_stop(trace_stop),
      .trace_error(trace_error),
      .trace_write(trace_write),
      .trace_write_unit(trace_write_unit),
      .trace_write_address(trace_write_address),
      .trace_write_count(trace_write_count),
      .trace_write_data(trace_write_data)
  );

  reg [31:0] first = 0, count = 0;
  icarus_memory #(
      .BEATS(BEATS),
      .LATENCY(LATENCY),
      .RATE_BEATS(RATE_BEATS),
      .RATE_CYCLES(RATE_CYCLES),
      .BURST_GAP(BURST_GAP)
  ) dram (
      .clk(clk),
      .rst(rst),
      .stall(stall),
      .first(first),
      .count(count),
      .araddr(araddr),
      .arlen(arlen),
      .arsize(arsize),
      .arburst(arburst),
      .arvalid(arvalid),
      .arready(arready),
      .rdata(rdata),
      .rresp(rresp),
      .rlast(rlast),
      .rvalid(rvalid),
      .rready(rready),
      .awaddr(awaddr),
      .awlen(awlen),
      .awsize(awsize),
      .awburst(awburst),
      .awvalid(awvalid),
      .awready(awready),
      .wdata(wdata),
      .wstrb(wstrb),
      .wlast(wlast),
      .wvalid(wvalid),
      .wready(wready),
      .bresp(bresp),
      .bvalid(bvalid),
      .bready(bready)
  );

  // Outputs that are X or Z in a cycle. Outputs that say something in every cycle, and what belongs to a valid.
  integer unknown = 0;
  wire [383:0] written = trace_write_data << (384 - 8 * trace_write_count);
  wire [13:0] always_known = {
    s_awready,
    s_wready,
    s_bvalid,
    s_arready,
    s_rvalid,
    arvalid,
    rready,
    awvalid,
    wvalid,
    bready,
    interrupt,
    trace_dispatch,
    trace_error,
    trace_write
  };
  wire [52:0] constants = {
    arsize, arburst, awsize, awburst, wstrb, trace_boot, trace_control, trace_start, trace_run, trace_retire, trace_stop
  };

  task known(input good, input [8*24-1:0] what);
    if (good !== 1) begin
      unknown = unknown + 1;
      if (unknown <= 10) $display("unknown at %0t: %0s", $time, what);
    end
  endtask

  always @(posedge clk)
    if (watch) begin
      known(^always_known !== 1'bx, "handshakes");
      known(^constants !== 1'bx, "constants, trace");
      if (s_bvalid) known(^s_bresp !== 1'bx, "s_axi_b");
      if (s_rvalid) known(^{s_rdata, s_rresp} !== 1'bx, "s_axi_r");
      if (arvalid) known(^{araddr, arlen} !== 1'bx, "m_axi_ar");
      if (awvalid) known(^{awaddr, awlen} !== 1'bx, "m_axi_aw");
      if (wvalid) known(^{wdata, wlast} !== 1'bx, "m_axi_w");
      if (trace_dispatch) known(^trace_dispatch_unit !== 1'bx, "trace_dispatch_unit");
      if (trace_write) known(^{trace_write_unit, trace_write_address, trace_write_count, written} !== 1'bx, "trace_write");
    end

  // The host.
  integer seed, patience;

  task pause;
    if (stall) repeat ($random(seed) & 3) @(posedge clk);
  endtask

  task lite_write(input [7:0] address, input [31:0] data);
    begin
      fork
        begin
          pause;
          s_awaddr  <= address;
          s_awvalid <= 1;
          @(posedge clk);
          while (s_awready !== 1) tick;
          s_awvalid <= 0;
        end
        begin
          pause;
          s_wdata  <= data;
          s_wstrb  <= 4'hf;
          s_wvalid <= 1;
          @(posedge clk);
          while (s_wready !== 1) tick;
          s_wvalid <= 0;
        end
      join
      pause;
      s_bready <= 1;
      @(posedge clk);
      while (s_bvalid !== 1) tick;
      if (s_bresp !== 0) $display("refused: a write of %h", address);
      s_bready <= 0;
    end
  endtask

  task lite_read(input [7:0] address, output [31:0] data);
    begin
      pause;
      s_araddr  <= address;
      s_arvalid <= 1;
      @(posedge clk);
      while (s_arready !== 1) tick;
      s_arvalid <= 0;
      pause;
      s_rready <= 1;
      @(posedge clk);
      while (s_rvalid !== 1) tick;
      data = s_rdata;
      s_rready <= 0;
    end
  endtask

  // A cycle of waiting; a machine that never answers ends the run.
  task tick;
    begin
      patience = patience - 1;
      if (patience <= 0) begin
        $display("step %0d hangs", number);
        $finish;
      end
      @(posedge clk);
    end
  endtask

  task reset;
    begin
      rst <= 1;
      repeat (3) @(posedge clk);
      rst   <= 0;
      watch <= 1;
      @(posedge clk);
    end
  endtask

  // The steps.
  integer file, fields, number, kind, wanted, base, beats, code, boot, after, limit, beat, wrong;
  reg [31:0] status, cycles, error_code, error_instruction;
  reg [8*256-1:0] name, image, expected;
  reg [127:0] right[0:BEATS-1];

  initial begin
    if (!$value$plusargs("seed=%d", seed)) seed = 1;
    if (!$value$plusargs("stall=%d", stall)) stall = 0;
    if (!$value$plusargs("steps=%s", name)) $finish;
    dram.seed = seed + 1;
    file = $fopen(name, "r");
    number = 0;
    patience = 1000;
    repeat (3) @(posedge clk);
    reset;
    fields = 9;
    while (fields == 9) begin
      fields = $fscanf(file, "%h %h %h %h %h %h %h %s %s\n", kind, base, beats, code, boot, after, limit, image, expected);
      if (fields == 9) begin
        step;
        number = number + 1;
      end
    end
    $display("end %0d", number);
    $finish;
  end

  task step;
    begin
      patience = limit;
      unknown = 0;
      dram.violations = 0;
      first = base / 16;
      count = beats;
      $readmemh(image, dram.memory, first, first + beats - 1);
      $readmemh(expected, right, 0, beats - 1);
      lite_write(8'h0c, 6);
      lite_write(8'h10, 1);
      lite_write(8'h20, base);
      lite_write(8'h24, code);
      lite_write(8'h28, boot);
      lite_write(8'h2c, 0);
      lite_read(8'h0c, status);
      while (status[3] !== 1) begin
        tick;
        lite_read(8'h0c, status);
      end
      lite_write(8'h08, 1);
      if (kind != RUN) repeat (after) tick;
      if (kind == ABORT) lite_write(8'h08, 2);
      if (kind == RESET) reset;
      else while (interrupt !== 1) tick;
      lite_read(8'h0c, status);
      lite_read(8'h14, error_code);
      lite_read(8'h18, error_instruction);
      lite_read(8'h30, cycles);
      wrong = 0;
      for (beat = 0; beat < beats; beat = beat + 1)
        if (dram.memory[first+beat] !== right[beat]) wrong = wrong + 1;
      $display("step %0d status %0d code %0d instruction %0d cycles %0d wrong %0d unknown %0d violations %0d", number,
               status[2:0], error_code, error_instruction, cycles, wrong, unknown, dram.violations);
    end
  endtask
endmodule
