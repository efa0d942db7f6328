// Adders and carries as CARRY8, eight bits a cell. Yosys's own mapping stops at CARRY4. What fits a table for each bit
// without a carry is left to the tables: three bits, or four bits and a constant.
// "$__alu_swapped" is a sum whose carry takes the second operand as it is.
(* techmap_celltype = "$alu $__alu_swapped" *)
module _80_carry8_alu (A, B, CI, BI, X, Y, CO);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;
  parameter _TECHMAP_CONSTMSK_A_ = 0;
  parameter _TECHMAP_CONSTMSK_B_ = 0;
  parameter _TECHMAP_CONSTMSK_BI_ = 0;
  parameter _TECHMAP_CONSTVAL_BI_ = 0;
  parameter _TECHMAP_CELLTYPE_ = "";
  // Of a difference the second operand is inverted: it stays.
  localparam SWAPPED = _TECHMAP_CELLTYPE_ == "$__alu_swapped" && _TECHMAP_CONSTMSK_BI_ && !_TECHMAP_CONSTVAL_BI_;
  localparam CELLS = (Y_WIDTH + 7) / 8;
  localparam PADDING = CELLS * 8 - Y_WIDTH;

  (* force_downto *) input [A_WIDTH-1:0] A;
  (* force_downto *) input [B_WIDTH-1:0] B;
  (* force_downto *) output [Y_WIDTH-1:0] X, Y, CO;
  input CI, BI;

  wire _TECHMAP_FAIL_ = Y_WIDTH <= 3 || Y_WIDTH <= 4 && (&_TECHMAP_CONSTMSK_A_ || &_TECHMAP_CONSTMSK_B_);

  (* force_downto *) wire [Y_WIDTH-1:0] wide_a, wide_b;
  \$pos #(.A_SIGNED(A_SIGNED), .A_WIDTH(A_WIDTH), .Y_WIDTH(Y_WIDTH)) widen_a (.A(A), .Y(wide_a));
  \$pos #(.A_SIGNED(B_SIGNED), .A_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)) widen_b (.A(B), .Y(wide_b));
  assign X = wide_a ^ (BI ? ~wide_b : wide_b);

  (* force_downto *) wire [CELLS*8-1:0] select = {{PADDING{1'b0}}, X};
  (* force_downto *) wire [CELLS*8-1:0] generated = {{PADDING{1'b0}}, SWAPPED ? wide_b : wide_a};
  (* force_downto *) wire [CELLS*8-1:0] sum, carry;
  assign Y = sum;
  assign CO = carry;

  genvar i;
  generate for (i = 0; i < CELLS; i = i + 1) begin: cell
    if (i == 0)
      CARRY8 carry8 (.CI(CI), .CI_TOP(1'b0), .DI(generated[7:0]), .S(select[7:0]), .O(sum[7:0]), .CO(carry[7:0]));
    else
      CARRY8 carry8 (
        .CI(carry[i*8-1]), .CI_TOP(1'b0), .DI(generated[i*8 +: 8]), .S(select[i*8 +: 8]),
        .O(sum[i*8 +: 8]), .CO(carry[i*8 +: 8]));
  end endgenerate
endmodule

(* techmap_celltype = "$lcu" *)
module _80_carry8_lcu (P, G, CI, CO);
  parameter WIDTH = 2;
  localparam CELLS = (WIDTH + 7) / 8;
  localparam PADDING = CELLS * 8 - WIDTH;

  (* force_downto *) input [WIDTH-1:0] P, G;
  input CI;
  (* force_downto *) output [WIDTH-1:0] CO;

  wire _TECHMAP_FAIL_ = WIDTH <= 2;

  (* force_downto *) wire [CELLS*8-1:0] select = {{PADDING{1'b0}}, P & ~G};
  (* force_downto *) wire [CELLS*8-1:0] generated = {{PADDING{1'b0}}, G};
  (* force_downto *) wire [CELLS*8-1:0] carry;
  assign CO = carry;

  genvar i;
  generate for (i = 0; i < CELLS; i = i + 1) begin: cell
    if (i == 0)
      CARRY8 carry8 (.CI(CI), .CI_TOP(1'b0), .DI(generated[7:0]), .S(select[7:0]), .CO(carry[7:0]));
    else
      CARRY8 carry8 (
        .CI(carry[i*8-1]), .CI_TOP(1'b0), .DI(generated[i*8 +: 8]), .S(select[i*8 +: 8]), .CO(carry[i*8 +: 8]));
  end endgenerate
endmodule
