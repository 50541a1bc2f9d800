// Softmax of rows of LENGTH tokens; each lane of a token is a softmax of its own.
//
//   e[j] = exps[max(x) - x[j]],  s = sum of e = m * 2^p with 1 <= m < 2,  r = reciprocals[first bits of m]
//   y[j] = min((e[j] * r + half) >> (p + W_RECIPROCAL - W_Y), 2^W_Y - 1)
//
// Three engines behind one another, a row in each: ext_softmax_max, ext_softmax_exp, ext_softmax_normalise.
//
//   parameters  LANES, LENGTH
//               W_X, X_SIGNED       of a logit
//               W_EXP, EXPS         bits of an exponential, file of 2^W_X of them
//               W_SUM               bits of a sum
//               W_INDEX             bits of the index of a reciprocal; less than W_EXP
//               W_RECIPROCAL, RECIPROCALS   bits of a reciprocal, file of 2^W_INDEX of them
//               W_PRODUCT           bits of a product, and of the half that rounds it
//               W_Y                 bits of a result, an unsigned fraction
//               IMPL                of the products; see ext_multiply
//               *_STYLE             of the memories
//   cycles      one a token
//   latency     LENGTH + 17 cycles from the last token of a row to the first result
//   storage     logits and exponentials, a little more than a row of LANES numbers each; a copy of both tables a lane
module ext_softmax #(
    parameter int LANES = 2,
    parameter int LENGTH = 6,
    parameter int W_X = 8,
    parameter bit X_SIGNED = 1,
    parameter int W_EXP = 12,
    parameter int W_SUM = 15,
    parameter int W_INDEX = 9,
    parameter int W_RECIPROCAL = 12,
    parameter int W_PRODUCT = 25,
    parameter int W_Y = 8,
    parameter EXPS = "",
    parameter RECIPROCALS = "",
    parameter IMPL = "dsp",
    parameter LOGIT_STYLE = "auto",
    parameter TERM_STYLE = "auto",
    parameter EXP_STYLE = "auto",
    parameter RECIPROCAL_STYLE = "auto"
) (
    input  logic                 clk,
    input  logic                 rst,
    input  logic [LANES*W_X-1:0] s_data,
    input  logic                 s_valid,
    output logic                 s_ready,
    output logic [LANES*W_Y-1:0] m_data,
    output logic                 m_valid,
    input  logic                 m_ready
);
    localparam int W_E = W_SUM - W_EXP < 1 ? 1 : $clog2(W_SUM - W_EXP + 1); // of an exponent above the smallest
    localparam int W_FACTOR = W_E + W_RECIPROCAL;

    logic [LANES*W_X-1:0] logits_data, maxima_data;
    logic logits_valid, logits_ready, maxima_valid, maxima_ready;
    ext_softmax_max #(.LANES(LANES), .LENGTH(LENGTH), .W_X(W_X), .X_SIGNED(X_SIGNED), .STYLE(LOGIT_STYLE)) max (
        .clk, .rst, .s_data, .s_valid, .s_ready,
        .m0_data(logits_data), .m0_valid(logits_valid), .m0_ready(logits_ready),
        .m1_data(maxima_data), .m1_valid(maxima_valid), .m1_ready(maxima_ready));

    logic [LANES*W_EXP-1:0] terms_data;
    logic [LANES*W_FACTOR-1:0] factors_data;
    logic terms_valid, terms_ready, factors_valid, factors_ready;
    ext_softmax_exp #(.LANES(LANES), .LENGTH(LENGTH), .W_X(W_X), .W_EXP(W_EXP), .W_SUM(W_SUM), .W_INDEX(W_INDEX),
        .W_RECIPROCAL(W_RECIPROCAL), .EXPS(EXPS), .RECIPROCALS(RECIPROCALS), .TERM_STYLE(TERM_STYLE),
        .EXP_STYLE(EXP_STYLE), .RECIPROCAL_STYLE(RECIPROCAL_STYLE)) exp (
        .clk, .rst, .s0_data(logits_data), .s0_valid(logits_valid), .s0_ready(logits_ready),
        .s1_data(maxima_data), .s1_valid(maxima_valid), .s1_ready(maxima_ready),
        .m0_data(terms_data), .m0_valid(terms_valid), .m0_ready(terms_ready),
        .m1_data(factors_data), .m1_valid(factors_valid), .m1_ready(factors_ready));

    ext_softmax_normalise #(.LANES(LANES), .LENGTH(LENGTH), .W_EXP(W_EXP), .W_E(W_E), .W_RECIPROCAL(W_RECIPROCAL),
        .W_PRODUCT(W_PRODUCT), .W_Y(W_Y), .IMPL(IMPL)) normalise (
        .clk, .rst, .s0_data(terms_data), .s0_valid(terms_valid), .s0_ready(terms_ready),
        .s1_data(factors_data), .s1_valid(factors_valid), .s1_ready(factors_ready), .m_data, .m_valid, .m_ready);
endmodule
