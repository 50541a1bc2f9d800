// Sums of products, accumulated from a bias on, rounded: the end of a matrix or depthwise engine.
//
//   y[p] = requantize(bias[p] + all sums[p] of an output)
//
//   parameters  PE                            outputs
//               W_S, PRODUCT_SHIFT            bits of a sum, and fractional bits that the accumulator has more
//               W_B, B_SIGNED, BIAS_SHIFT     the same of a bias
//               W_A                           bits of an accumulator
//               W_Y, Y_SIGNED, SHIFT, ROUNDING, SATURATION  of a result; see ext_requantize
//   cycles      one sum of each output a cycle
//   latency     3 cycles: accumulator, rounding, saturation
//   storage     PE accumulators
module ext_accumulate #(
    parameter int PE = 4,
    parameter int W_S = 16,
    parameter int PRODUCT_SHIFT = 0,
    parameter int W_B = 8,
    parameter bit B_SIGNED = 1,
    parameter int BIAS_SHIFT = 0,
    parameter int W_A = 20,
    parameter int W_Y = 8,
    parameter bit Y_SIGNED = 1,
    parameter int SHIFT = 6,
    parameter ROUNDING = "RND_CONV",
    parameter SATURATION = "SAT"
) (
    input  logic              clk,
    input  logic              valid, // there are sums
    input  logic              first, // the first ones of their outputs
    input  logic [PE*W_S-1:0] sums,
    input  logic [PE*W_B-1:0] biases,
    output logic [PE*W_Y-1:0] y
);
    if (PE < 1 || PRODUCT_SHIFT < 0 || BIAS_SHIFT < 0) $error("ext_accumulate: PE %0d, shifts", PE);

    for (genvar p = 0; p < PE; p++) begin : output_
        wire signed [W_S-1:0] sum = sums[p*W_S +: W_S];
        wire unused = ^sum; // an accumulator may be narrower: sums stay below what their bits hold
        logic signed [W_A-1:0] bias;
        if (B_SIGNED) begin : bias_signed
            wire signed [W_B-1:0] b = biases[p*W_B +: W_B];
            assign bias = W_A'(b);
        end else begin : bias_unsigned
            assign bias = W_A'(biases[p*W_B +: W_B]);
        end
        logic signed [W_A-1:0] acc;
        wire signed [W_A-1:0] start = first ? bias <<< BIAS_SHIFT : acc;
        always_ff @(posedge clk) if (valid) acc <= (W_A'(sum) <<< PRODUCT_SHIFT) + start; // the choice fits in the adder
        ext_requantize #(.W_X(W_A), .W_Y(W_Y), .Y_SIGNED(Y_SIGNED), .SHIFT(SHIFT), .ROUNDING(ROUNDING),
            .SATURATION(SATURATION)) requantize (.clk, .x(acc), .y(y[p*W_Y +: W_Y]));
    end
endmodule
