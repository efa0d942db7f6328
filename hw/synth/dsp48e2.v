// A packed DSP48E1 as a DSP48E2. The W multiplexer (OPMODE[8:7]) is new and stays 0; the pre-adder is chosen by
// AMULTSEL instead of USE_DPORT; D is 27 bits wide.
module DSP48E1 (
  output [29:0] ACOUT, output [17:0] BCOUT, output CARRYCASCOUT, output [3:0] CARRYOUT, output MULTSIGNOUT,
  output OVERFLOW, output [47:0] P, output PATTERNBDETECT, output PATTERNDETECT, output [47:0] PCOUT,
  output UNDERFLOW,
  input [29:0] A, input [29:0] ACIN, input [3:0] ALUMODE, input [17:0] B, input [17:0] BCIN, input [47:0] C,
  input CARRYCASCIN, input CARRYIN, input [2:0] CARRYINSEL,
  input CEA1, input CEA2, input CEAD, input CEALUMODE, input CEB1, input CEB2, input CEC, input CECARRYIN,
  input CECTRL, input CED, input CEINMODE, input CEM, input CEP, input CLK,
  input [24:0] D, input [4:0] INMODE, input MULTSIGNIN, input [6:0] OPMODE, input [47:0] PCIN,
  input RSTA, input RSTALLCARRYIN, input RSTALUMODE, input RSTB, input RSTC, input RSTCTRL, input RSTD,
  input RSTINMODE, input RSTM, input RSTP
);
  parameter integer ACASCREG = 1;
  parameter integer ADREG = 1;
  parameter integer ALUMODEREG = 1;
  parameter integer AREG = 1;
  parameter integer BCASCREG = 1;
  parameter integer BREG = 1;
  parameter integer CARRYINREG = 1;
  parameter integer CARRYINSELREG = 1;
  parameter integer CREG = 1;
  parameter integer DREG = 1;
  parameter integer INMODEREG = 1;
  parameter integer MREG = 1;
  parameter integer OPMODEREG = 1;
  parameter integer PREG = 1;
  parameter AUTORESET_PATDET = "NO_RESET";
  parameter A_INPUT = "DIRECT";
  parameter B_INPUT = "DIRECT";
  parameter SEL_MASK = "MASK";
  parameter SEL_PATTERN = "PATTERN";
  parameter USE_DPORT = "FALSE";
  parameter USE_MULT = "MULTIPLY";
  parameter USE_PATTERN_DETECT = "NO_PATDET";
  parameter USE_SIMD = "ONE48";
  parameter [47:0] MASK = 48'h3FFFFFFFFFFF;
  parameter [47:0] PATTERN = 48'h000000000000;

  DSP48E2 #(
    .ACASCREG(ACASCREG), .ADREG(ADREG), .ALUMODEREG(ALUMODEREG), .AREG(AREG), .BCASCREG(BCASCREG), .BREG(BREG),
    .CARRYINREG(CARRYINREG), .CARRYINSELREG(CARRYINSELREG), .CREG(CREG), .DREG(DREG), .INMODEREG(INMODEREG),
    .MREG(MREG), .OPMODEREG(OPMODEREG), .PREG(PREG), .AUTORESET_PATDET(AUTORESET_PATDET),
    .A_INPUT(A_INPUT), .B_INPUT(B_INPUT), .SEL_MASK(SEL_MASK), .SEL_PATTERN(SEL_PATTERN),
    .AMULTSEL(USE_DPORT == "TRUE" ? "AD" : "A"), .BMULTSEL("B"), .PREADDINSEL("A"),
    .USE_MULT(USE_MULT), .USE_PATTERN_DETECT(USE_PATTERN_DETECT), .USE_SIMD(USE_SIMD),
    .MASK(MASK), .PATTERN(PATTERN)
  ) _TECHMAP_REPLACE_ (
    .ACOUT(ACOUT), .BCOUT(BCOUT), .CARRYCASCOUT(CARRYCASCOUT), .CARRYOUT(CARRYOUT), .MULTSIGNOUT(MULTSIGNOUT),
    .OVERFLOW(OVERFLOW), .P(P), .PATTERNBDETECT(PATTERNBDETECT), .PATTERNDETECT(PATTERNDETECT), .PCOUT(PCOUT),
    .UNDERFLOW(UNDERFLOW),
    .A(A), .ACIN(ACIN), .ALUMODE(ALUMODE), .B(B), .BCIN(BCIN), .C(C), .CARRYCASCIN(CARRYCASCIN), .CARRYIN(CARRYIN),
    .CARRYINSEL(CARRYINSEL),
    .CEA1(CEA1), .CEA2(CEA2), .CEAD(CEAD), .CEALUMODE(CEALUMODE), .CEB1(CEB1), .CEB2(CEB2), .CEC(CEC),
    .CECARRYIN(CECARRYIN), .CECTRL(CECTRL), .CED(CED), .CEINMODE(CEINMODE), .CEM(CEM), .CEP(CEP), .CLK(CLK),
    .D({{2{D[24]}}, D}), .INMODE(INMODE), .MULTSIGNIN(MULTSIGNIN), .OPMODE({2'b00, OPMODE}), .PCIN(PCIN),
    .RSTA(RSTA), .RSTALLCARRYIN(RSTALLCARRYIN), .RSTALUMODE(RSTALUMODE), .RSTB(RSTB), .RSTC(RSTC),
    .RSTCTRL(RSTCTRL), .RSTD(RSTD), .RSTINMODE(RSTINMODE), .RSTM(RSTM), .RSTP(RSTP)
  );
endmodule
