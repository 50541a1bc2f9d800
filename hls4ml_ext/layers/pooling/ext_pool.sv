// Pooling: the maximum or the scaled sum of TAPS numbers of each channel. The taps of an output come one after the other, each
// as GROUPS beats of LANES channels; the GROUPS outputs go out as the last tap comes in.
//
//   parameters  LANES          numbers of a beat
//               TAPS, GROUPS   taps of an output, beats of a tap
//               OP             "max", "average"
//               W_X, X_SIGNED  of a tap
//               W_S            bits of a sum, or of a maximum, two's complement
//               SCALE          factor of a sum; 1 needs no multiplier
//               W_Y, Y_SIGNED, SHIFT, ROUNDING, SATURATION  of a result; see ext_requantize
//               IMPL           of the products; see ext_multiply
//               DEPTH          results in flight and in the FIFO; see ext_result
//               SUM_STYLE, STYLE  of the memories
//   cycles      one a beat
//   latency     5 cycles from the last tap to the output, 6 with a multiplier
//   storage     GROUPS words of LANES sums; the FIFO
module ext_pool #(
    parameter int LANES = 4,
    parameter int TAPS = 4,
    parameter int GROUPS = 1,
    parameter OP = "max",
    parameter int W_X = 8,
    parameter bit X_SIGNED = 1,
    parameter int W_S = 8,
    parameter int SCALE = 1,
    parameter int W_Y = 8,
    parameter bit Y_SIGNED = 1,
    parameter int SHIFT = 0,
    parameter ROUNDING = "RND_CONV",
    parameter SATURATION = "SAT",
    parameter IMPL = "lut",
    parameter int DEPTH = 8,
    parameter SUM_STYLE = "auto",
    parameter STYLE = "auto"
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
    localparam int A_TAP = TAPS < 2 ? 1 : $clog2(TAPS);
    localparam int A_GROUP = GROUPS < 2 ? 1 : $clog2(GROUPS);
    localparam int W_W = $clog2(SCALE + 1);
    localparam int W_P = SCALE == 1 ? W_S : W_S + W_W + 1;
    localparam int T = SCALE == 1 ? 3 : 4; // cycles from the last tap to the result
    if (LANES < 1 || TAPS < 1 || GROUPS < 1) $error("ext_pool: LANES %0d, TAPS %0d, GROUPS %0d", LANES, TAPS, GROUPS);
    if (OP != "max" && OP != "average") $error("ext_pool: OP");
    if (SCALE < 1 || W_S < W_X + (X_SIGNED ? 0 : 1)) $error("ext_pool: SCALE %0d, W_S %0d", SCALE, W_S);

    // Which beat comes next.
    logic [A_TAP-1:0] tap;
    logic [A_GROUP-1:0] group;
    logic room;
    wire first = tap == '0;
    wire last = tap == A_TAP'(TAPS - 1);
    wire last_group = group == A_GROUP'(GROUPS - 1);
    assign s_ready = !last || room;
    wire step = s_valid && s_ready;
    always_ff @(posedge clk)
        if (rst) begin
            tap <= '0;
            group <= '0;
        end else if (step) begin
            group <= last_group ? '0 : group + 1'b1;
            if (last_group) tap <= last ? '0 : tap + 1'b1;
        end

    // Sums of the taps so far.
    logic [LANES*W_S-1:0] kept, sums, done;
    ext_shift #(.WIDTH(LANES*W_S), .DEPTH(GROUPS), .STYLE(SUM_STYLE)) shift (
        .clk, .rst, .move(step), .d(sums), .q(kept));
    always_ff @(posedge clk) if (step) done <= sums;

    logic [LANES*W_Y-1:0] y;
    for (genvar i = 0; i < LANES; i++) begin : lane
        logic signed [W_S-1:0] x;
        if (X_SIGNED) begin : x_signed
            wire signed [W_X-1:0] number = s_data[i*W_X +: W_X];
            assign x = W_S'(number);
        end else begin : x_unsigned
            assign x = W_S'(s_data[i*W_X +: W_X]);
        end
        wire signed [W_S-1:0] sum = kept[i*W_S +: W_S];
        if (OP == "max") begin : max
            assign sums[i*W_S +: W_S] = first || x > sum ? x : sum;
        end else begin : average
            assign sums[i*W_S +: W_S] = first ? x : sum + x;
        end
        logic signed [W_P-1:0] product;
        if (SCALE == 1) begin : unscaled
            assign product = done[i*W_S +: W_S];
        end else begin : scaled
            ext_multiply #(.W_X(W_S), .X_SIGNED(1), .W_W(W_W), .W_SIGNED(0), .IMPL(IMPL)) multiply (
                .clk, .x(done[i*W_S +: W_S]), .w(W_W'(SCALE)), .y(product));
        end
        ext_requantize #(.W_X(W_P), .W_Y(W_Y), .Y_SIGNED(Y_SIGNED), .SHIFT(SHIFT), .ROUNDING(ROUNDING),
            .SATURATION(SATURATION)) requantize (.clk, .x(product), .y(y[i*W_Y +: W_Y]));
    end
    logic valid;
    ext_delay #(.WIDTH(1), .CYCLES(T), .RESET(1)) delay (.clk, .rst, .d(step && last), .q(valid));
    ext_result #(.WIDTH(LANES*W_Y), .DEPTH(DEPTH), .STYLE(STYLE)) result (
        .clk, .rst, .take(step && last), .room, .s_data(y), .s_valid(valid), .m_data, .m_valid, .m_ready);
endmodule
