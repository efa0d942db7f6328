// CARRY8 with delays: two of the CARRY4 that Yosys has delays for, one after the other, and the worst path of each kind.
(* abc9_box, lib_whitebox *)
module CARRY8 (
  (* abc9_carry *) output [7:0] CO, output [7:0] O, (* abc9_carry *) input CI, input CI_TOP, input [7:0] DI, S
);
  parameter CARRY_TYPE = "SINGLE_CY8";
  assign O = S ^ {CO[6:0], CI};
  assign CO[0] = S[0] ? CI : DI[0];
  assign CO[1] = S[1] ? CO[0] : DI[1];
  assign CO[2] = S[2] ? CO[1] : DI[2];
  assign CO[3] = S[3] ? CO[2] : DI[3];
  assign CO[4] = S[4] ? CO[3] : DI[4];
  assign CO[5] = S[5] ? CO[4] : DI[5];
  assign CO[6] = S[6] ? CO[5] : DI[6];
  assign CO[7] = S[7] ? CO[6] : DI[7];
  specify
    (CI *> O) = 427;
    (S *> O) = 732;
    (DI *> O) = 729;
    (CI *> CO) = 228;
    (S *> CO) = 622;
    (DI *> CO) = 640;
  endspecify
endmodule
