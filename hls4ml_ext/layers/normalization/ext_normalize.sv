// Normalizes a beat of a pixel of N numbers whose statistics are known; see ext_moments:
//
//   n = round((N x - sum) * scale / 2^26),  y = requantize(n * gamma + beta)
//
//   parameters  SIMD, N                  numbers of a beat, of a pixel
//               W_X, W_SUM               bits of a number, and of the sum, two's complement
//               W_D, W_P                 bits of N x - sum, and of its product with the scale
//               W_N, N_SHIFT, N_ROUNDING, N_SATURATION  of n, two's complement; see ext_requantize
//               SCALED                   whether there is a gamma
//               W_GAMMA, GAMMA_SIGNED    of a gamma
//               W_BETA, BETA_SIGNED      of a beta
//               SCALED_SHIFT, BETA_SHIFT  fractional bits that n * gamma + beta has more than n * gamma, and than beta
//               W_A                      bits of n * gamma + beta
//               W_Y .. SATURATION        of a result; see ext_requantize
//               SCALE_IMPL, GAMMA_IMPL   of the products; see ext_multiply
//   cycles      one beat a cycle
//   latency     9 cycles; gamma comes 5 cycles after x, beta 6
//   storage     ten registers a number
module ext_normalize #(
    parameter int SIMD = 4,
    parameter int N = 8,
    parameter int W_X = 8,
    parameter int W_SUM = 12,
    parameter int W_D = 13,
    parameter int W_P = 30,
    parameter int W_N = 8,
    parameter int N_SHIFT = 22,
    parameter N_ROUNDING = "RND_CONV",
    parameter N_SATURATION = "SAT",
    parameter bit SCALED = 1,
    parameter int W_GAMMA = 8,
    parameter bit GAMMA_SIGNED = 1,
    parameter int W_BETA = 8,
    parameter bit BETA_SIGNED = 1,
    parameter int SCALED_SHIFT = 0,
    parameter int BETA_SHIFT = 0,
    parameter int W_A = 18,
    parameter int W_Y = 8,
    parameter bit Y_SIGNED = 1,
    parameter int SHIFT = 6,
    parameter ROUNDING = "RND_CONV",
    parameter SATURATION = "SAT",
    parameter SCALE_IMPL = "dsp",
    parameter GAMMA_IMPL = "dsp"
) (
    input  logic                    clk,
    input  logic                    rst,
    input  logic [SIMD*W_X-1:0]     x,
    input  logic signed [W_SUM-1:0] sum,
    input  logic [25:0]             scale,
    input  logic [SIMD*W_GAMMA-1:0] gamma,
    input  logic [SIMD*W_BETA-1:0]  beta,
    output logic [SIMD*W_Y-1:0]     y
);
    localparam int W_C = $clog2(N + 1);
    localparam int W_G = SCALED ? W_N + W_GAMMA + (GAMMA_SIGNED ? 0 : 1) : W_N;
    if (SIMD < 1 || N < 1) $error("ext_normalize: SIMD %0d, N %0d", SIMD, N);
    if (SCALED_SHIFT < 0 || BETA_SHIFT < 0) $error("ext_normalize: SCALED_SHIFT, BETA_SHIFT");

    logic signed [W_SUM-1:0] sum_late;
    logic [25:0] scale_late;
    ext_delay #(.WIDTH(W_SUM), .CYCLES(1)) delay_sum (.clk, .rst, .d(sum), .q(sum_late));
    ext_delay #(.WIDTH(26), .CYCLES(2)) delay_scale (.clk, .rst, .d(scale), .q(scale_late));

    for (genvar i = 0; i < SIMD; i++) begin : lane
        logic signed [W_X+W_C:0] multiple;
        ext_multiply #(.W_X(W_X), .X_SIGNED(1), .W_W(W_C), .W_SIGNED(0), .IMPL("lut")) multiply_n (
            .clk, .x(x[i*W_X +: W_X]), .w(W_C'(N)), .y(multiple));
        logic signed [W_D-1:0] deviation;
        always_ff @(posedge clk) deviation <= W_D'(multiple) - W_D'(sum_late);
        logic signed [W_D+26:0] product;
        ext_multiply #(.W_X(26), .X_SIGNED(0), .W_W(W_D), .W_SIGNED(1), .IMPL(SCALE_IMPL)) multiply_scale (
            .clk, .x(scale_late), .w(deviation), .y(product));
        logic signed [W_N-1:0] normal;
        ext_requantize #(.W_X(W_P), .W_Y(W_N), .Y_SIGNED(1), .SHIFT(N_SHIFT), .ROUNDING(N_ROUNDING),
            .SATURATION(N_SATURATION)) normalize (.clk, .x(W_P'(product)), .y(normal));

        logic signed [W_G-1:0] scaled;
        if (SCALED) begin : by_gamma
            ext_multiply #(.W_X(W_N), .X_SIGNED(1), .W_W(W_GAMMA), .W_SIGNED(GAMMA_SIGNED), .IMPL(GAMMA_IMPL)) multiply_gamma (
                .clk, .x(normal), .w(gamma[i*W_GAMMA +: W_GAMMA]), .y(scaled));
        end else begin : by_one
            always_ff @(posedge clk) scaled <= normal;
        end
        logic signed [W_A-1:0] b;
        if (BETA_SIGNED) begin : beta_signed
            wire signed [W_BETA-1:0] number = beta[i*W_BETA +: W_BETA];
            assign b = W_A'(number);
        end else begin : beta_unsigned
            assign b = W_A'(beta[i*W_BETA +: W_BETA]);
        end
        logic signed [W_A-1:0] acc;
        always_ff @(posedge clk) acc <= (W_A'(scaled) <<< SCALED_SHIFT) + (b <<< BETA_SHIFT);
        ext_requantize #(.W_X(W_A), .W_Y(W_Y), .Y_SIGNED(Y_SIGNED), .SHIFT(SHIFT), .ROUNDING(ROUNDING),
            .SATURATION(SATURATION)) requantize (.clk, .x(acc), .y(y[i*W_Y +: W_Y]));
        wire unused = ^{multiple, product, scaled};
    end
    if (!SCALED) begin : no_gamma
        wire unused = ^gamma;
    end
endmodule
