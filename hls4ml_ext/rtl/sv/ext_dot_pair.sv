// Two sums of products with common factors, sum_i x[i] * w0[i] and sum_i x[i] * w1[i]: two products to a DSP.
//
//   parameters  N                             pairs of factors
//               W_X, X_SIGNED, W_W, W_SIGNED  of the factors; see ext_multiply_pair
//   cycles      two sums a cycle
//   latency     2 cycles for the products, one for every two levels of the adder tree: 2 + ceil(ceil(log2 N) / 2)
//   storage     N packed products, and the sums of every second level
module ext_dot_pair #(
    parameter int N = 8,
    parameter int W_X = 8,
    parameter bit X_SIGNED = 1,
    parameter int W_W = 4,
    parameter bit W_SIGNED = 1,
    localparam int W_P = W_X + (X_SIGNED ? 0 : 1) + W_W + (W_SIGNED ? 0 : 1),
    localparam int W_S = W_P + (N < 2 ? 0 : $clog2(N))
) (
    input  logic                  clk,
    input  logic [N*W_X-1:0]      x,
    input  logic [N*W_W-1:0]      w0,
    input  logic [N*W_W-1:0]      w1,
    output logic signed [W_S-1:0] sum0,
    output logic signed [W_S-1:0] sum1
);
    logic [N*W_P-1:0] products0, products1;
    for (genvar i = 0; i < N; i++) begin : pair
        ext_multiply_pair #(.W_X(W_X), .X_SIGNED(X_SIGNED), .W_W(W_W), .W_SIGNED(W_SIGNED)) multiply (
            .clk, .x(x[i*W_X +: W_X]), .w0(w0[i*W_W +: W_W]), .w1(w1[i*W_W +: W_W]),
            .y0(products0[i*W_P +: W_P]), .y1(products1[i*W_P +: W_P]));
    end
    ext_adder_tree #(.N(N), .W(W_P)) tree0 (.clk, .x(products0), .sum(sum0));
    ext_adder_tree #(.N(N), .W(W_P)) tree1 (.clk, .x(products1), .sum(sum1));
endmodule
