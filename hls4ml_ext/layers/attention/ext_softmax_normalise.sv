// Softmax, third part: the exponentials of a row of LENGTH tokens, divided by their sum.
//
//   y[j] = min((e[j] * reciprocal + half) >> shift, 2^W_Y - 1),  shift = exponent + W_EXP - 1 + W_RECIPROCAL - W_Y
//
//   parameters  LANES, LENGTH
//               W_EXP              bits of an exponential, the first stream
//               W_E, W_RECIPROCAL  bits of the exponent (high) and of the reciprocal (low) of a row, the second stream
//               W_PRODUCT          bits of a product, and of the half that rounds it
//               W_Y                bits of a result
//               IMPL               of the products; see ext_multiply
//   cycles      one a token
//   latency     6 cycles
//   storage     five registers a lane; the FIFO
module ext_softmax_normalise #(
    parameter int LANES = 2,
    parameter int LENGTH = 6,
    parameter int W_EXP = 12,
    parameter int W_E = 2,
    parameter int W_RECIPROCAL = 12,
    parameter int W_PRODUCT = 25,
    parameter int W_Y = 8,
    parameter IMPL = "dsp",
    localparam int W_FACTOR = W_E + W_RECIPROCAL
) (
    input  logic                      clk,
    input  logic                      rst,
    input  logic [LANES*W_EXP-1:0]    s0_data,
    input  logic                      s0_valid,
    output logic                      s0_ready,
    input  logic [LANES*W_FACTOR-1:0] s1_data,
    input  logic                      s1_valid,
    output logic                      s1_ready,
    output logic [LANES*W_Y-1:0]      m_data,
    output logic                      m_valid,
    input  logic                      m_ready
);
    localparam int A = LENGTH < 2 ? 1 : $clog2(LENGTH);
    localparam int SHIFT = W_EXP - 1 + W_RECIPROCAL - W_Y; // the smallest
    localparam int W_Q = W_PRODUCT - SHIFT;                // bits of a product without those
    localparam int T = 4;                                  // from the step to its results
    if (LANES < 1 || LENGTH < 1 || W_E < 1) $error("ext_softmax_normalise: LANES, LENGTH, W_E");
    if (SHIFT < 1 || W_PRODUCT <= W_EXP + W_RECIPROCAL || W_Q <= W_Y) $error("ext_softmax_normalise: widths");

    // A token is taken with the factor of its row, which stays until the last one.
    logic [A-1:0] j;
    logic room, valid;
    wire last = j == A'(LENGTH - 1);
    wire step = s0_valid && s1_valid && room;
    assign s0_ready = s1_valid && room;
    assign s1_ready = s0_valid && last && room;
    always_ff @(posedge clk)
        if (rst) j <= '0;
        else if (step) j <= last ? '0 : j + 1'b1;

    logic [LANES*W_Y-1:0] y;
    for (genvar a = 0; a < LANES; a++) begin : lane
        wire [W_E-1:0] e = s1_data[a*W_FACTOR + W_RECIPROCAL +: W_E];
        logic signed [W_EXP+W_RECIPROCAL+1:0] product;
        ext_multiply #(.W_X(W_EXP), .X_SIGNED(0), .W_W(W_RECIPROCAL), .W_SIGNED(0), .IMPL(IMPL)) multiply (
            .clk, .x(s0_data[a*W_EXP +: W_EXP]), .w(s1_data[a*W_FACTOR +: W_RECIPROCAL]), .y(product));
        logic [W_PRODUCT-1:0] half, sum;
        logic [W_E-1:0] e_product, e_sum;
        logic [W_Q-1:0] shifted;
        logic [W_Y-1:0] result;
        always_ff @(posedge clk) begin
            half <= W_PRODUCT'(1) << (SHIFT - 1) << e;
            e_product <= e;
            sum <= W_PRODUCT'(product[W_EXP+W_RECIPROCAL-1:0]) + half;
            e_sum <= e_product;
            shifted <= sum[W_PRODUCT-1:SHIFT] >> e_sum;
            result <= |shifted[W_Q-1:W_Y] ? '1 : shifted[W_Y-1:0];
        end
        assign y[a*W_Y +: W_Y] = result;
        wire unused = ^{product[W_EXP+W_RECIPROCAL+1 -: 2], sum[SHIFT-1:0]};
    end
    ext_delay #(.WIDTH(1), .CYCLES(T), .RESET(1)) delay (.clk, .rst, .d(step), .q(valid));
    ext_result #(.WIDTH(LANES*W_Y), .DEPTH(T + 6)) results (
        .clk, .rst, .take(step), .room, .s_data(y), .s_valid(valid), .m_data, .m_valid, .m_ready);
endmodule
