// The statistics of a pixel: the sum of its N numbers, and 1/sqrt(v) of v = N sum(x^2) - sum(x)^2 + EPSILON, from beats of SIMD.
//
//   parameters  SIMD, N                  numbers of a beat, of a pixel
//               W_X                      bits of a number, two's complement
//               W_SUM, W_SQUARE, W_V     bits of sum(x), sum(x^2), and of what v is computed from
//               EPSILON                  at least 1
//               SQUARE_IMPL, SUM_IMPL    of the squares of x and of the sum; see ext_multiply
//               TABLE, TABLE_STYLE       see ext_rsqrt
//   cycles      one beat a cycle
//   latency     9 + ceil(ceil(log2 SIMD) / 2) cycles from the last beat of a pixel
//   storage     both sums; the table
module ext_moments #(
    parameter int SIMD = 4,
    parameter int N = 8,
    parameter int W_X = 8,
    parameter int W_SUM = 12,
    parameter int W_SQUARE = 18,
    parameter int W_V = 31,
    parameter int EPSILON = 1,
    parameter SQUARE_IMPL = "dsp",
    parameter SUM_IMPL = "dsp",
    parameter TABLE = "",
    parameter TABLE_STYLE = "auto"
) (
    input  logic                    clk,
    input  logic                    rst,
    input  logic                    valid, // there is a beat
    input  logic                    first, // the first one of its pixel
    input  logic                    last,
    input  logic [SIMD*W_X-1:0]     x,
    output logic                    done,  // a pixel is complete
    output logic signed [W_SUM-1:0] sum,
    output logic [25:0]             scale
);
    localparam int LEVELS = SIMD < 2 ? 0 : $clog2(SIMD);
    localparam int T_PART = 1 + (LEVELS + 1) / 2; // to the sums of a beat
    localparam int T = T_PART + 8;
    localparam int W_N = $clog2(N + 1);
    if (SIMD < 1 || N % SIMD != 0) $error("ext_moments: SIMD %0d, N %0d", SIMD, N);
    if (EPSILON < 1 || W_V < 31) $error("ext_moments: EPSILON %0d, W_V %0d", EPSILON, W_V);

    // The sums of a beat.
    logic [SIMD*W_X-1:0] x_late;
    logic signed [W_X+LEVELS-1:0] part;
    logic signed [2*W_X+LEVELS-1:0] part_squares;
    ext_delay #(.WIDTH(SIMD*W_X), .CYCLES(1)) delay_x (.clk, .rst, .d(x), .q(x_late));
    ext_adder_tree #(.N(SIMD), .W(W_X)) tree (.clk, .x(x_late), .sum(part));
    ext_dot #(.N(SIMD), .W_X(W_X), .X_SIGNED(1), .W_W(W_X), .W_SIGNED(1), .IMPL(SQUARE_IMPL)) squares_of (
        .clk, .x(x), .w(x), .sum(part_squares));

    // Those of the pixel.
    logic part_valid, part_first;
    ext_delay #(.WIDTH(1), .CYCLES(T_PART), .RESET(1)) delay_valid (.clk, .rst, .d(valid), .q(part_valid));
    ext_delay #(.WIDTH(1), .CYCLES(T_PART)) delay_first (.clk, .rst, .d(first), .q(part_first));
    ext_delay #(.WIDTH(1), .CYCLES(T), .RESET(1)) delay_last (.clk, .rst, .d(valid && last), .q(done));
    logic signed [W_SUM-1:0] total;
    logic signed [W_SQUARE-1:0] squares;
    always_ff @(posedge clk)
        if (part_valid) begin
            total <= (part_first ? '0 : total) + W_SUM'(part);
            squares <= (part_first ? '0 : squares) + W_SQUARE'(part_squares);
        end

    // v, and 1/sqrt(v).
    logic signed [W_SQUARE+W_N:0] scaled_squares;
    logic signed [2*W_SUM-1:0] square_of_sum;
    ext_multiply #(.W_X(W_SQUARE), .X_SIGNED(1), .W_W(W_N), .W_SIGNED(0), .IMPL("lut")) multiply_squares (
        .clk, .x(squares), .w(W_N'(N)), .y(scaled_squares));
    ext_multiply #(.W_X(W_SUM), .X_SIGNED(1), .W_W(W_SUM), .W_SIGNED(1), .IMPL(SUM_IMPL)) square_sum (
        .clk, .x(total), .w(total), .y(square_of_sum));
    logic [W_V-1:0] v;
    always_ff @(posedge clk) v <= W_V'(scaled_squares) - W_V'(square_of_sum) + W_V'(EPSILON);
    ext_rsqrt #(.TABLE(TABLE), .TABLE_STYLE(TABLE_STYLE)) rsqrt (.clk, .rst, .v(v[29:0]), .scale);
    ext_delay #(.WIDTH(W_SUM), .CYCLES(7)) delay_sum (.clk, .rst, .d(total), .q(sum));
    wire unused = ^{part, part_squares, scaled_squares, square_of_sum, v[W_V-1:30]};
endmodule
