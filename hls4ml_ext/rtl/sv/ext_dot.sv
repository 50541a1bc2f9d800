// sum_i x[i] * w[i] of N pairs.
//
//   parameters  N                            pairs
//               W_X, X_SIGNED, W_W, W_SIGNED  of the factors
//               IMPL, TRIPLE                 of the products; see ext_multiply
//   cycles      one sum a cycle
//   latency     1 cycle for the products, one for every two levels of the adder tree: 1 + ceil(ceil(log2 N) / 2)
//   storage     N products and a third of as many sums, in registers
module ext_dot #(
    parameter int N = 8,
    parameter int W_X = 8,
    parameter bit X_SIGNED = 1,
    parameter int W_W = 4,
    parameter bit W_SIGNED = 1,
    parameter IMPL = "lut",
    parameter bit TRIPLE = 0,
    localparam int W_IN = W_X + (TRIPLE ? W_X + 2 : 0),
    localparam int W_P = W_X + (X_SIGNED ? 0 : 1) + W_W + (W_SIGNED ? 0 : 1),
    localparam int W_S = W_P + (N < 2 ? 0 : $clog2(N))
) (
    input  logic                  clk,
    input  logic [N*W_IN-1:0]     x,
    input  logic [N*W_W-1:0]      w,
    output logic signed [W_S-1:0] sum
);
    logic [N*W_P-1:0] products;
    for (genvar i = 0; i < N; i++) begin : pair
        ext_multiply #(.W_X(W_X), .X_SIGNED(X_SIGNED), .W_W(W_W), .W_SIGNED(W_SIGNED), .IMPL(IMPL),
            .TRIPLE(TRIPLE)) multiply (.clk, .x(x[i*W_IN +: W_IN]), .w(w[i*W_W +: W_W]), .y(products[i*W_P +: W_P]));
    end
    ext_adder_tree #(.N(N), .W(W_P)) tree (.clk, .x(products), .sum);
endmodule
