// A memory behind AXI4, 128 bits wide, after section 9 of docs/architecture.md: bursts in order, a fixed latency, beats
// at a rational rate. With `stall` every channel pauses at random besides. Nothing in it has contents at power-on.
module icarus_memory #(
    parameter BEATS = 65536,
    parameter LATENCY = 64,
    parameter RATE_BEATS = 3,
    parameter RATE_CYCLES = 4,
    parameter BURST_GAP = 1
) (
    input clk,
    input rst,
    input stall,
    // The beats that a program may touch: `first` ... `first + count - 1`.
    input [31:0] first,
    input [31:0] count,
    input [31:0] araddr,
    input [7:0] arlen,
    input [2:0] arsize,
    input [1:0] arburst,
    input arvalid,
    output reg arready,
    output reg [127:0] rdata,
    output reg [1:0] rresp,
    output reg rlast,
    output reg rvalid,
    input rready,
    input [31:0] awaddr,
    input [7:0] awlen,
    input [2:0] awsize,
    input [1:0] awburst,
    input awvalid,
    output reg awready,
    input [127:0] wdata,
    input [15:0] wstrb,
    input wlast,
    input wvalid,
    output reg wready,
    output reg [1:0] bresp,
    output reg bvalid,
    input bready
);
  localparam PLACES = 256;  // bursts under way in each direction
  // From a write's address on the bus to the slot of its first beat: section 4 of docs/rtl.md.
  localparam WRITE_START = 5;

  reg [127:0] memory[0:BEATS-1];
  integer seed, violations;
  integer now;  // the number of the cycle that this edge begins
  integer read_in, read_out, read_beat, read_end;
  integer write_in, write_out, write_beat, write_end;
  integer answer_in, answer_out;
  integer read_place[0:PLACES-1], read_beats[0:PLACES-1], read_begin[0:PLACES-1];
  integer write_place[0:PLACES-1], write_beats[0:PLACES-1], write_begin[0:PLACES-1];
  integer answer_due[0:PLACES-1];
  integer at, lane;

  function integer cycles(input integer beats);
    cycles = (beats * RATE_CYCLES + RATE_BEATS - 1) / RATE_BEATS;
  endfunction

  function integer later(input integer a, input integer b);
    later = a > b ? a : b;
  endfunction

  task violation(input [8*40-1:0] what);
    begin
      violations = violations + 1;
      if (violations <= 10) $display("violation at %0t: %0s", $time, what);
    end
  endtask

  task check_burst(input [31:0] address, input [7:0] length, input [2:0] size, input [1:0] burst);
    begin
      if (size !== 3'd4 || burst !== 2'd1 || address[3:0] !== 0) violation("a burst of another kind");
      if (address[11:4] + length > 255) violation("a burst across 4 KiB");
      if (^address === 1'bx || address / 16 < first || address / 16 + length >= first + count)
        violation("a burst beyond the image");
    end
  endtask

  // 1 in half of the cycles of a memory that stalls, and always in one that does not.
  task chance(output go);
    go = !stall || $random(seed) % 2 == 0;
  endtask

  reg go;

  initial begin
    now = 0;
    violations = 0;
  end

  always @(posedge clk) begin
    now = now + 1;
    chance(go);
    arready <= go;
    chance(go);
    awready <= go;
    if (rst) begin
      {rvalid, wready, bvalid} <= 0;
      {read_in, read_out, read_beat, write_in, write_out, write_beat, answer_in, answer_out} = 0;
      read_end  = now - BURST_GAP;
      write_end = now - BURST_GAP;
    end else begin
      // Addresses that were taken in the cycle that ends here, now - 1.
      if (arvalid && arready) begin
        check_burst(araddr, arlen, arsize, arburst);
        at = read_in % PLACES;
        read_place[at] = araddr / 16;
        read_beats[at] = arlen + 1;
        read_begin[at] = later(now - 2 + LATENCY, read_end + BURST_GAP);
        read_end = read_begin[at] + cycles(arlen + 1);
        read_in = read_in + 1;
      end
      if (awvalid && awready) begin
        check_burst(awaddr, awlen, awsize, awburst);
        at = write_in % PLACES;
        write_place[at] = awaddr / 16;
        write_beats[at] = awlen + 1;
        write_begin[at] = later(now - 1 + WRITE_START, write_end + BURST_GAP);
        write_end = write_begin[at] + cycles(awlen + 1);
        write_in = write_in + 1;
      end
      // Data to read.
      if (!rvalid || rready) begin
        rvalid <= 0;
        rdata  <= {128{1'bx}};
        rlast  <= 1'bx;
        rresp  <= 2'bxx;
        at = read_out % PLACES;
        chance(go);
        if (go && read_out < read_in && now >= read_begin[at] + cycles(read_beat + 1) - 1) begin
          rvalid <= 1;
          rdata <= memory[read_place[at]+read_beat];
          rresp <= 0;
          read_beat = read_beat + 1;
          rlast <= read_beat == read_beats[at];
          if (read_beat == read_beats[at]) begin
            read_beat = 0;
            read_out  = read_out + 1;
          end
        end
      end
      // Data to write.
      at = write_out % PLACES;
      if (wvalid && wready) begin
        for (lane = 0; lane < 16; lane = lane + 1)
          if (wstrb[lane]) memory[write_place[at]+write_beat][8*lane+:8] = wdata[8*lane+:8];
        write_beat = write_beat + 1;
        if (wlast !== (write_beat == write_beats[at])) violation("wlast at another beat");
        if (write_beat == write_beats[at]) begin
          answer_due[answer_in%PLACES] =
              later(now, write_begin[at] + cycles(write_beat)) + BURST_GAP + LATENCY;
          answer_in = answer_in + 1;
          write_beat = 0;
          write_out = write_out + 1;
          at = write_out % PLACES;
        end
      end
      chance(go);
      wready <= go && write_out < write_in && now >= write_begin[at] + cycles(write_beat + 1) - 1;
      // Answers.
      if (!bvalid || bready) begin
        chance(go);
        bvalid <= 0;
        bresp  <= 2'bxx;
        if (go && answer_out < answer_in && now >= answer_due[answer_out%PLACES]) begin
          bvalid <= 1;
          bresp <= 0;
          answer_out = answer_out + 1;
        end
      end
    end
  end
endmodule
