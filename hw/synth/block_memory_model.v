// What RAMB36E2 and RAMB18E2 do, as far as netlists use it: one port writes, READ_FIRST; no output registers, cascades,
// error correction, inverted pins. A parameter with another meaning asks for the module NOT_MODELLED, which does not
// exist, and one that is not declared here is an error, too; a pin with another value ends the simulation.
//
// A byte has a parity bit beside it. A port of width 9, 18, 36 or 72 takes 1, 2, 4 or 8 whole bytes, one of width 1, 2 or
// 4 a part of a byte without its parity. The widest takes the pins of both ports: it reads as A and writes as B.
module gatewright_block_memory #(
  parameter integer BYTES = 4096,
  parameter integer LANES = 4, // bytes at the pins of a port
  parameter integer READ_WIDTH_A = 0,
  parameter integer READ_WIDTH_B = 0,
  parameter integer WRITE_WIDTH_A = 0,
  parameter integer WRITE_WIDTH_B = 0,
  parameter [8*BYTES-1:0] CONTENTS = 0,
  parameter [BYTES-1:0] PARITIES = 0
) (
  input clock_a, clock_b, enable_a, enable_b,
  input [$clog2(8*BYTES)-1:0] address_a, address_b, // of a bit
  input [2*LANES-1:0] write_a, write_b,
  input [16*LANES-1:0] data_a, data_b,
  input [2*LANES-1:0] parity_a, parity_b,
  output reg [16*LANES-1:0] read_a, read_b,
  output reg [2*LANES-1:0] read_parity_a, read_parity_b
);
  localparam integer WRITE_WIDTH = WRITE_WIDTH_A != 0 ? WRITE_WIDTH_A : WRITE_WIDTH_B;

  function modelled(input integer width, input integer widest);
    case (width)
      0, 1, 2, 4, 9, 18, 36, 72: modelled = width <= widest;
      default: modelled = 0;
    endcase
  endfunction

  generate
    if (WRITE_WIDTH_A != 0 && WRITE_WIDTH_B != 0) NOT_MODELLED two_ports_that_write ();
    if (!modelled(READ_WIDTH_A, 18*LANES) || !modelled(READ_WIDTH_B, 9*LANES)) NOT_MODELLED width_to_read ();
    if (!modelled(WRITE_WIDTH_A, 9*LANES) || !modelled(WRITE_WIDTH_B, 18*LANES)) NOT_MODELLED width_to_write ();
    if (READ_WIDTH_A > 9*LANES && READ_WIDTH_B != 0) NOT_MODELLED port_beside_the_widest ();
  endgenerate

  reg [7:0] bytes [0:BYTES-1];
  reg parities [0:BYTES-1];
  integer i;
  initial
    for (i = 0; i < BYTES; i = i + 1) begin
      bytes[i] = CONTENTS[8*i +: 8];
      parities[i] = PARITIES[i];
    end

  // The first byte of the word that an access of a width takes.
  function [$clog2(BYTES)-1:0] word(input [$clog2(8*BYTES)-1:0] address, input integer width);
    word = (address >> 3) & ~(width < 18 ? 0 : width / 9 - 1);
  endfunction

  // The part of a byte that a narrow access takes: its lowest bit.
  function [2:0] part(input [2:0] address, input integer width);
    part = address & ~(width - 1);
  endfunction

  genvar lane;
  generate
    if (READ_WIDTH_A >= 9) begin: bytes_a
      for (lane = 0; lane < READ_WIDTH_A / 9; lane = lane + 1)
        always @(posedge clock_a) if (enable_a) begin
          read_a[8*lane +: 8] <= bytes[word(address_a, READ_WIDTH_A) + lane];
          read_parity_a[lane] <= parities[word(address_a, READ_WIDTH_A) + lane];
        end
    end else if (READ_WIDTH_A != 0)
      always @(posedge clock_a) if (enable_a)
        read_a[READ_WIDTH_A-1:0] <= bytes[address_a >> 3][part(address_a[2:0], READ_WIDTH_A) +: READ_WIDTH_A];

    if (READ_WIDTH_B >= 9) begin: bytes_b
      for (lane = 0; lane < READ_WIDTH_B / 9; lane = lane + 1)
        always @(posedge clock_b) if (enable_b) begin
          read_b[8*lane +: 8] <= bytes[word(address_b, READ_WIDTH_B) + lane];
          read_parity_b[lane] <= parities[word(address_b, READ_WIDTH_B) + lane];
        end
    end else if (READ_WIDTH_B != 0)
      always @(posedge clock_b) if (enable_b)
        read_b[READ_WIDTH_B-1:0] <= bytes[address_b >> 3][part(address_b[2:0], READ_WIDTH_B) +: READ_WIDTH_B];
  endgenerate

  // One writer, whichever port it is.
  wire clock = WRITE_WIDTH_A != 0 ? clock_a : clock_b;
  wire enable = WRITE_WIDTH_A != 0 ? enable_a : enable_b;
  wire [$clog2(8*BYTES)-1:0] address = WRITE_WIDTH_A != 0 ? address_a : address_b;
  wire [2*LANES-1:0] write = WRITE_WIDTH_A != 0 ? write_a : write_b;
  wire [16*LANES-1:0] data = WRITE_WIDTH_A != 0 ? data_a : data_b;
  wire [2*LANES-1:0] parity = WRITE_WIDTH_A != 0 ? parity_a : parity_b;
  generate
    if (WRITE_WIDTH >= 9) begin: bytes_written
      for (lane = 0; lane < WRITE_WIDTH / 9; lane = lane + 1)
        always @(posedge clock) if (enable && write[lane]) begin
          bytes[word(address, WRITE_WIDTH) + lane] <= data[8*lane +: 8];
          parities[word(address, WRITE_WIDTH) + lane] <= parity[lane];
        end
    end else if (WRITE_WIDTH != 0)
      always @(posedge clock) if (enable && write[0])
        bytes[address >> 3][part(address[2:0], WRITE_WIDTH) +: WRITE_WIDTH] <= data[WRITE_WIDTH-1:0];
    // A port that is narrower than its pins has several enables for a byte, which the chip wants equal.
    for (lane = 1; WRITE_WIDTH != 0 && lane < LANES; lane = lane + 1)
      if (lane >= WRITE_WIDTH / 9)
        always @(posedge clock)
          if (enable && write[lane] != write[WRITE_WIDTH < 18 ? 0 : lane % (WRITE_WIDTH / 9)])
            $fatal(1, "%m: write enables of one byte differ");
  endgenerate
endmodule

`define BLOCK_MEMORY(NAME, SIZE, PINS) \
module NAME #( \
  parameter integer DOA_REG = 1, \
  parameter integer DOB_REG = 1, \
  parameter integer READ_WIDTH_A = 0, \
  parameter integer READ_WIDTH_B = 0, \
  parameter integer WRITE_WIDTH_A = 0, \
  parameter integer WRITE_WIDTH_B = 0, \
  parameter WRITE_MODE_A = "NO_CHANGE", \
  parameter WRITE_MODE_B = "NO_CHANGE", \
  parameter [9*PINS-1:0] INIT_A = 0, INIT_B = 0, SRVAL_A = 0, SRVAL_B = 0, \
  `CONTENTS_``SIZE \
) ( \
  input CLKARDCLK, CLKBWRCLK, ENARDEN, ENBWREN, \
  input [$clog2(8*SIZE)-1:0] ADDRARDADDR, ADDRBWRADDR, \
  input ADDRENA, ADDRENB, REGCEAREGCE, REGCEB, RSTRAMARSTRAM, RSTRAMB, RSTREGARSTREG, RSTREGB, SLEEP, \
  input [PINS-1:0] WEA, \
  input [2*PINS-1:0] WEBWE, \
  input [8*PINS-1:0] DINADIN, DINBDIN, \
  input [PINS-1:0] DINPADINP, DINPBDINP, \
  output [8*PINS-1:0] DOUTADOUT, DOUTBDOUT, \
  output [PINS-1:0] DOUTPADOUTP, DOUTPBDOUTP \
); \
  generate \
    if (DOA_REG != 0 || DOB_REG != 0) NOT_MODELLED output_registers (); \
    if (WRITE_WIDTH_A != 0 && WRITE_MODE_A != "READ_FIRST" || WRITE_WIDTH_B != 0 && WRITE_MODE_B != "READ_FIRST") \
      NOT_MODELLED write_mode (); \
  endgenerate \
  always @(posedge CLKARDCLK) \
    if (RSTRAMARSTRAM || RSTRAMB || SLEEP) $fatal(1, "%m: reset and sleep of a block memory are not modelled"); \
  wire [16*PINS-1:0] read_a, read_b; \
  wire [2*PINS-1:0] parity_a, parity_b; \
  localparam WIDE_READ = READ_WIDTH_A > 9*PINS; \
  localparam WIDE_WRITE = WRITE_WIDTH_B > 9*PINS; \
  assign {DOUTPADOUTP, DOUTADOUT} = {parity_a[PINS-1:0], read_a[8*PINS-1:0]}; \
  assign DOUTBDOUT = WIDE_READ ? read_a[16*PINS-1:8*PINS] : read_b[8*PINS-1:0]; \
  assign DOUTPBDOUTP = WIDE_READ ? parity_a[2*PINS-1:PINS] : parity_b[PINS-1:0]; \
  gatewright_block_memory #( \
    SIZE, PINS, READ_WIDTH_A, READ_WIDTH_B, WRITE_WIDTH_A, WRITE_WIDTH_B, `DATA_``SIZE, `PARITIES_``SIZE \
  ) memory ( \
    CLKARDCLK, CLKBWRCLK, ENARDEN, ENBWREN, ADDRARDADDR, ADDRBWRADDR, {{PINS{1'b0}}, WEA}, WEBWE, \
    {{8*PINS{1'b0}}, DINADIN}, WIDE_WRITE ? {DINBDIN, DINADIN} : {{8*PINS{1'b0}}, DINBDIN}, \
    {{PINS{1'b0}}, DINPADINP}, WIDE_WRITE ? {DINPBDINP, DINPADINP} : {{PINS{1'b0}}, DINPBDINP}, \
    read_a, read_b, parity_a, parity_b); \
endmodule

`BLOCK_MEMORY(RAMB36E2, 4096, 4)
`BLOCK_MEMORY(RAMB18E2, 2048, 2)
