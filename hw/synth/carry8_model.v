// What a CARRY8 does, in one sum: with what is generated beside what is propagated, a carry goes on as in the cell.
module CARRY8 #(
  parameter CARRY_TYPE = "SINGLE_CY8"
) (
  output [7:0] CO, output [7:0] O, input CI, input CI_TOP, input [7:0] DI, S
);
  generate
    if (CARRY_TYPE != "SINGLE_CY8") NOT_MODELLED two_halves ();
  endgenerate
  wire [7:0] generated = DI & ~S;
  wire [8:0] total = {1'b0, S | generated} + {1'b0, generated} + {8'b0, CI};
  assign O = total[7:0];
  assign CO = {total[8], total[7:1] ^ S[7:1]};
endmodule
