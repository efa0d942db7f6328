// What a DSP48E2 does, as far as netlists use it: D + A, times B, plus C, PCIN, the last P or either of the latter
// shifted by 17. A, B, C, D, the sum in front, the product and P may have registers; no control input has. A parameter
// with another meaning asks for the module NOT_MODELLED, which does not exist, and one that is not declared here is an
// error, too; a control input with another value ends the simulation. netlist_text.py refuses netlists that use an output without a function here.
module DSP48E2 #(
  parameter integer ACASCREG = 1, ADREG = 1, ALUMODEREG = 1, AREG = 1, BCASCREG = 1, BREG = 1, CARRYINREG = 1,
  parameter integer CARRYINSELREG = 1, CREG = 1, DREG = 1, INMODEREG = 1, MREG = 1, OPMODEREG = 1, PREG = 1,
  parameter AMULTSEL = "A", BMULTSEL = "B", PREADDINSEL = "A", A_INPUT = "DIRECT", B_INPUT = "DIRECT",
  parameter AUTORESET_PATDET = "NO_RESET", SEL_MASK = "MASK", SEL_PATTERN = "PATTERN", USE_MULT = "MULTIPLY",
  parameter USE_PATTERN_DETECT = "NO_PATDET", USE_SIMD = "ONE48",
  parameter [47:0] MASK = 48'h3FFFFFFFFFFF, PATTERN = 0
) (
  output [29:0] ACOUT, output [17:0] BCOUT, output CARRYCASCOUT, output [3:0] CARRYOUT, output MULTSIGNOUT, OVERFLOW,
  output [47:0] P, output PATTERNBDETECT, PATTERNDETECT, output [47:0] PCOUT, output UNDERFLOW,
  input [29:0] A, ACIN, input [3:0] ALUMODE, input [17:0] B, BCIN, input [47:0] C, input CARRYCASCIN, CARRYIN,
  input [2:0] CARRYINSEL, input CEA1, CEA2, CEAD, CEALUMODE, CEB1, CEB2, CEC, CECARRYIN, CECTRL, CED, CEINMODE, CEM,
  input CEP, CLK, input [26:0] D, input [4:0] INMODE, input MULTSIGNIN, input [8:0] OPMODE, input [47:0] PCIN,
  input RSTA, RSTALLCARRYIN, RSTALUMODE, RSTB, RSTC, RSTCTRL, RSTD, RSTINMODE, RSTM, RSTP
);
  localparam ADDS_IN_FRONT = AMULTSEL == "AD";

  generate
    if (ALUMODEREG != 0 || CARRYINREG != 0 || CARRYINSELREG != 0 || INMODEREG != 0 || OPMODEREG != 0)
      NOT_MODELLED registers_of_control_inputs ();
    if (AMULTSEL != "A" && AMULTSEL != "AD" || BMULTSEL != "B" || PREADDINSEL != "A" || USE_MULT != "MULTIPLY")
      NOT_MODELLED operands ();
    if (A_INPUT != "DIRECT" || B_INPUT != "DIRECT") NOT_MODELLED cascades_of_a_and_b ();
    if (USE_SIMD != "ONE48" || USE_PATTERN_DETECT != "NO_PATDET" || AUTORESET_PATDET != "NO_RESET")
      NOT_MODELLED split_adder_or_pattern ();
    if (AREG > 2 || BREG > 2 || CREG > 1 || DREG > 1 || ADREG > 1 || MREG > 1 || PREG > 1)
      NOT_MODELLED number_of_registers ();
  endgenerate

  always @(posedge CLK) begin
    if (OPMODE[8:7] != 0 || OPMODE[3:0] != 4'b0101 || OPMODE[6:4] == 3'b100 || OPMODE[6:4] == 3'b111)
      $fatal(1, "%m: OPMODE %b is not modelled", OPMODE);
    if ((INMODE & 5'b11011) != 0) $fatal(1, "%m: INMODE %b is not modelled", INMODE);
    if (ALUMODE != 0 || CARRYIN || CARRYINSEL != 0) $fatal(1, "%m: an ALUMODE or a carry other than 0 is not modelled");
    if (OPMODE[6:4] == 3'b010 && PREG == 0) $fatal(1, "%m: OPMODE %b adds P, which has no register", OPMODE);
  end

  reg [29:0] a1 = 0, a2 = 0;
  reg [17:0] b1 = 0, b2 = 0;
  reg [47:0] c1 = 0, p1 = 0;
  reg [26:0] d1 = 0, ad1 = 0;
  reg [44:0] m1 = 0;

  wire [29:0] a = AREG == 0 ? A : a2;
  wire [17:0] b = BREG == 0 ? B : b2;
  wire [47:0] c = CREG == 0 ? C : c1;
  wire [26:0] d = DREG == 0 ? D : d1;
  wire [26:0] in_front = a[26:0] + (INMODE[2] ? d : 27'd0);
  wire [26:0] factor = !ADDS_IN_FRONT ? a[26:0] : ADREG == 0 ? in_front : ad1;
  wire [44:0] product = {{18{factor[26]}}, factor} * {{27{b[17]}}, b};
  wire [44:0] m = MREG == 0 ? product : m1;
  reg [47:0] z;
  always @*
    case (OPMODE[6:4])
      3'b001: z = PCIN;
      3'b010: z = p1;
      3'b011: z = c;
      3'b101: z = {{17{PCIN[47]}}, PCIN[47:17]};
      3'b110: z = {{17{p1[47]}}, p1[47:17]};
      default: z = 0;
    endcase
  wire [47:0] total = z + {{3{m[44]}}, m};
  assign P = PREG == 0 ? total : p1;
  assign PCOUT = P;

  always @(posedge CLK) begin
    if (RSTA) {a1, a2} <= 0;
    else begin
      if (CEA1) a1 <= A;
      if (CEA2) a2 <= AREG == 2 ? a1 : A;
    end
    if (RSTB) {b1, b2} <= 0;
    else begin
      if (CEB1) b1 <= B;
      if (CEB2) b2 <= BREG == 2 ? b1 : B;
    end
    if (RSTC) c1 <= 0;
    else if (CEC) c1 <= C;
    if (RSTD) {d1, ad1} <= 0;
    else begin
      if (CED) d1 <= D;
      if (CEAD) ad1 <= in_front;
    end
    if (RSTM) m1 <= 0;
    else if (CEM) m1 <= product;
    if (RSTP) p1 <= 0;
    else if (CEP) p1 <= total;
  end
endmodule
