// Layer normalization over the channels of each pixel: y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, in integers.
// Pixels of SIMD * GROUPS channels come and go in beats of SIMD.
//
// A beat goes to ext_moments, which sums up the statistics of its pixel, and into a FIFO. As soon as the statistics of a pixel
// are there, its beats go on to ext_normalize, while those of the next pixels come in.
//
//   parameters  SIMD, GROUPS                channels of a beat, beats of a pixel
//               W_X, X_SIGNED               of an input
//               OFFSET, W_C                 what is subtracted from it, and bits of the difference
//               W_SUM .. EPSILON            see ext_moments
//               W_D .. SATURATION           see ext_normalize
//               *_IMPL                      of the products: of the sum, of each lane with itself, the scale, gamma
//               DEPTH                       results in flight and in the FIFO; see ext_result
//               TABLE                       file of 768 words of 12 bits; see ext_rsqrt
//               GAMMAS, BETAS               files of GAMMA_WORDS words of SIMD gammas, BETA_WORDS of SIMD betas, one for each
//                                           group, or one for all
//               *_STYLE                     of the memories
//   cycles      GROUPS a pixel, and once GROUPS more: a pixel goes on when it is complete
//   latency     22 + ceil(ceil(log2 SIMD) / 2) cycles from the last beat of a pixel to its first result
//   storage     table, gammas, betas; GROUPS words of a beat, and as many more as come in while the statistics are computed
module ext_layer_norm #(
    parameter int SIMD = 4,
    parameter int GROUPS = 2,
    parameter int W_X = 8,
    parameter bit X_SIGNED = 1,
    parameter int OFFSET = 0,
    parameter int W_C = 8,
    parameter int W_SUM = 12,
    parameter int W_SQUARE = 18,
    parameter int W_V = 31,
    parameter int EPSILON = 1,
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
    parameter SUM_IMPL = "dsp",
    parameter SQUARE_IMPL = "dsp",
    parameter SCALE_IMPL = "dsp",
    parameter GAMMA_IMPL = "dsp",
    parameter int DEPTH = 16,
    parameter TABLE = "",
    parameter GAMMAS = "",
    parameter BETAS = "",
    parameter int GAMMA_WORDS = 2,
    parameter int BETA_WORDS = 2,
    parameter TABLE_STYLE = "auto",
    parameter GAMMA_STYLE = "auto",
    parameter BETA_STYLE = "auto",
    parameter PIXEL_STYLE = "auto",
    parameter STYLE = "auto"
) (
    input  logic                clk,
    input  logic                rst,
    input  logic [SIMD*W_X-1:0] s_data,
    input  logic                s_valid,
    output logic                s_ready,
    output logic [SIMD*W_Y-1:0] m_data,
    output logic                m_valid,
    input  logic                m_ready
);
    localparam int N = SIMD * GROUPS;
    localparam int T_TREE = SIMD < 2 ? 0 : ($clog2(SIMD) + 1) / 2;
    localparam int BEATS = GROUPS + T_TREE + 12;        // that come in until the first one of them goes on
    localparam int PIXELS = (BEATS - 1) / GROUPS + 2;   // complete ones among them
    localparam int A = GROUPS < 2 ? 1 : $clog2(GROUPS);
    localparam int A_GAMMA = GAMMA_WORDS < 2 ? 1 : $clog2(GAMMA_WORDS);
    localparam int A_BETA = BETA_WORDS < 2 ? 1 : $clog2(BETA_WORDS);
    if (SIMD < 1 || GROUPS < 1) $error("ext_layer_norm: SIMD %0d, GROUPS %0d", SIMD, GROUPS);
    if (GAMMA_WORDS != 1 && GAMMA_WORDS != GROUPS) $error("ext_layer_norm: GAMMA_WORDS %0d", GAMMA_WORDS);
    if (BETA_WORDS != 1 && BETA_WORDS != GROUPS) $error("ext_layer_norm: BETA_WORDS %0d", BETA_WORDS);

    // Numbers around 0.
    logic [SIMD*W_C-1:0] x;
    for (genvar i = 0; i < SIMD; i++) begin : lane
        if (X_SIGNED) begin : x_signed
            wire signed [W_X-1:0] number = s_data[i*W_X +: W_X];
            assign x[i*W_C +: W_C] = W_C'(number) - W_C'(OFFSET);
        end else begin : x_unsigned
            assign x[i*W_C +: W_C] = W_C'(s_data[i*W_X +: W_X]) - W_C'(OFFSET);
        end
    end

    // What comes in.
    logic [A-1:0] in_group;
    wire in_last = in_group == A'(GROUPS - 1);
    wire in_step = s_valid && s_ready;
    always_ff @(posedge clk)
        if (rst) in_group <= '0;
        else if (in_step) in_group <= in_last ? '0 : in_group + 1'b1;

    logic done;
    logic signed [W_SUM-1:0] done_sum, sum;
    logic [25:0] done_scale, scale;
    ext_moments #(.SIMD(SIMD), .N(N), .W_X(W_C), .W_SUM(W_SUM), .W_SQUARE(W_SQUARE), .W_V(W_V), .EPSILON(EPSILON),
        .SQUARE_IMPL(SQUARE_IMPL), .SUM_IMPL(SUM_IMPL), .TABLE(TABLE), .TABLE_STYLE(TABLE_STYLE)) moments (
        .clk, .rst, .valid(in_step), .first(in_group == '0), .last(in_last), .x, .done, .sum(done_sum), .scale(done_scale));

    // What waits. There is a place for the statistics of all pixels that are there.
    logic beat_valid, known, always_ready, step, last;
    logic [SIMD*W_C-1:0] beat;
    ext_fifo #(.WIDTH(SIMD*W_C), .DEPTH(BEATS), .STYLE(PIXEL_STYLE)) pixels (
        .clk, .rst, .s_data(x), .s_valid, .s_ready, .m_data(beat), .m_valid(beat_valid), .m_ready(step));
    ext_fifo #(.WIDTH(W_SUM + 26), .DEPTH(PIXELS)) statistics (
        .clk, .rst, .s_data({done_sum, done_scale}), .s_valid(done), .s_ready(always_ready), .m_data({sum, scale}),
        .m_valid(known), .m_ready(step && last));
    wire unused = always_ready;

    // What goes on.
    logic [A-1:0] group;
    logic room, valid;
    assign step = known && beat_valid && room;
    assign last = group == A'(GROUPS - 1);
    always_ff @(posedge clk)
        if (rst) group <= '0;
        else if (step) group <= last ? '0 : group + 1'b1;

    logic [A_GAMMA-1:0] gamma_at;
    logic [A_BETA-1:0] beta_at;
    logic [SIMD*W_GAMMA-1:0] gamma;
    logic [SIMD*W_BETA-1:0] beta;
    ext_delay #(.WIDTH(A_GAMMA), .CYCLES(3)) delay_gamma (
        .clk, .rst, .d(GAMMA_WORDS == 1 ? '0 : A_GAMMA'(group)), .q(gamma_at));
    ext_delay #(.WIDTH(A_BETA), .CYCLES(4)) delay_beta (.clk, .rst, .d(BETA_WORDS == 1 ? '0 : A_BETA'(group)), .q(beta_at));
    ext_rom #(.WIDTH(SIMD*W_GAMMA), .DEPTH(GAMMA_WORDS), .FILE(GAMMAS), .STYLE(GAMMA_STYLE)) gammas (
        .clk, .read_at(gamma_at), .read_data(gamma));
    ext_rom #(.WIDTH(SIMD*W_BETA), .DEPTH(BETA_WORDS), .FILE(BETAS), .STYLE(BETA_STYLE)) betas (
        .clk, .read_at(beta_at), .read_data(beta));
    logic [SIMD*W_Y-1:0] y;
    ext_normalize #(.SIMD(SIMD), .N(N), .W_X(W_C), .W_SUM(W_SUM), .W_D(W_D), .W_P(W_P), .W_N(W_N), .N_SHIFT(N_SHIFT),
        .N_ROUNDING(N_ROUNDING), .N_SATURATION(N_SATURATION), .SCALED(SCALED), .W_GAMMA(W_GAMMA),
        .GAMMA_SIGNED(GAMMA_SIGNED), .W_BETA(W_BETA), .BETA_SIGNED(BETA_SIGNED), .SCALED_SHIFT(SCALED_SHIFT),
        .BETA_SHIFT(BETA_SHIFT), .W_A(W_A), .W_Y(W_Y), .Y_SIGNED(Y_SIGNED), .SHIFT(SHIFT), .ROUNDING(ROUNDING),
        .SATURATION(SATURATION), .SCALE_IMPL(SCALE_IMPL), .GAMMA_IMPL(GAMMA_IMPL)) normalize (
        .clk, .rst, .x(beat), .sum, .scale, .gamma, .beta, .y);
    ext_delay #(.WIDTH(1), .CYCLES(9), .RESET(1)) delay (.clk, .rst, .d(step), .q(valid));
    ext_result #(.WIDTH(SIMD*W_Y), .DEPTH(DEPTH), .STYLE(STYLE)) result (
        .clk, .rst, .take(step), .room, .s_data(y), .s_valid(valid), .m_data, .m_valid, .m_ready);
endmodule
