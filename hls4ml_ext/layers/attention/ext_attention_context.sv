// The second half of attention over N pixels: values, weighted and added up.
//
//   context[i] = requantize(sum_j weight[i][j] * v[j])
//
// The values of all pixels come first, GROUPS * SLICES beats of HEADS * DIMS lanes each: HEADS heads with all of their dims
// (SLICES = 1), or a slice of the dims of one head. Then, for each query and each group of heads, HEADS weights for each key:
// used for all slices of a value before the next are taken.
//
//   parameters  N, GROUPS, HEADS, DIMS, SLICES
//               W_X, X_SIGNED         of a value
//               W_W, W_SIGNED         of a weight
//               W_A                   bits of a sum
//               W_Y, Y_SIGNED, SHIFT, ROUNDING, SATURATION  of a context; see ext_requantize
//               IMPL                  of the products; see ext_multiply
//               DEPTH                 contexts in flight and in the FIFO; see ext_result
//               *_STYLE               of the memories
//   cycles      with R = GROUPS * SLICES, N * R for the values, N * N * R for the products
//   latency     8 cycles from the last weight of a query to the first slice of its contexts
//   storage     values, N * R words; sums, SLICES words; both of HEADS * DIMS numbers
module ext_attention_context #(
    parameter int N = 6,
    parameter int GROUPS = 1,
    parameter int HEADS = 2,
    parameter int DIMS = 4,
    parameter int SLICES = 1,
    parameter int W_X = 8,
    parameter bit X_SIGNED = 1,
    parameter int W_W = 8,
    parameter bit W_SIGNED = 0,
    parameter int W_A = 20,
    parameter int W_Y = 8,
    parameter bit Y_SIGNED = 1,
    parameter int SHIFT = 6,
    parameter ROUNDING = "RND_CONV",
    parameter SATURATION = "SAT",
    parameter IMPL = "lut",
    parameter int DEPTH = 16,
    parameter VALUE_STYLE = "auto",
    parameter SUM_STYLE = "auto",
    localparam int LANES = HEADS * DIMS
) (
    input  logic                 clk,
    input  logic                 rst,
    input  logic [LANES*W_X-1:0] s0_data,
    input  logic                 s0_valid,
    output logic                 s0_ready,
    input  logic [HEADS*W_W-1:0] s1_data,
    input  logic                 s1_valid,
    output logic                 s1_ready,
    output logic [LANES*W_Y-1:0] m_data,
    output logic                 m_valid,
    input  logic                 m_ready
);
    localparam int WORDS = N * GROUPS * SLICES;
    localparam int LAST_PIXEL = (N - 1) * SLICES;         // address of the last pixel, in the first group
    localparam int NEXT_GROUP = N * SLICES - SLICES + 1;  // from the last slice in a group to the first in the next
    localparam int A = WORDS < 2 ? 1 : $clog2(WORDS);
    localparam int A_N = N < 2 ? 1 : $clog2(N);
    localparam int A_SLICE = SLICES < 2 ? 1 : $clog2(SLICES);
    localparam int A_GROUP = GROUPS < 2 ? 1 : $clog2(GROUPS);
    localparam int W_P = W_X + (X_SIGNED ? 0 : 1) + W_W + (W_SIGNED ? 0 : 1);
    localparam int T_SUM = 3; // from the step to its products
    localparam int T = 6;     // to its contexts
    if (N < 1 || GROUPS < 1 || DIMS < 1) $error("ext_attention_context: N, GROUPS, DIMS");
    if (HEADS < 1 || SLICES < 1 || (HEADS > 1 && SLICES > 1)) $error("ext_attention_context: HEADS, SLICES");

    // Values come.
    logic loading;
    logic [A_SLICE-1:0] in_slice;
    logic [A_GROUP-1:0] in_group;
    logic [A-1:0] in_pixel, in_at; // address of the pixel in the first group, of the word
    wire in_last_slice = in_slice == A_SLICE'(SLICES - 1);
    wire in_last_word = in_last_slice && in_group == A_GROUP'(GROUPS - 1);
    wire in_last_pixel = in_pixel == A'(LAST_PIXEL);
    wire [A-1:0] in_next_pixel = in_last_pixel ? '0 : in_pixel + A'(SLICES);
    assign s0_ready = loading;
    wire arrive = s0_valid && loading;
    wire loaded = arrive && in_last_word && in_last_pixel;
    always_ff @(posedge clk)
        if (rst) begin
            in_slice <= '0;
            in_group <= '0;
            in_pixel <= '0;
            in_at <= '0;
        end else if (arrive) begin
            in_slice <= in_last_slice ? '0 : in_slice + 1'b1;
            if (in_last_slice) in_group <= in_last_word ? '0 : in_group + 1'b1;
            if (in_last_word) in_pixel <= in_next_pixel;
            in_at <= in_last_word ? in_next_pixel : in_last_slice ? in_at + A'(NEXT_GROUP) : in_at + 1'b1;
        end

    // Which step comes next.
    logic room;
    logic [A_SLICE-1:0] slice;
    logic [A_GROUP-1:0] group;
    logic [A_N-1:0] key, query;
    logic [A-1:0] value_at;
    wire first_slice = slice == '0;
    wire last_slice = slice == A_SLICE'(SLICES - 1);
    wire last_key = key == A_N'(N - 1);
    wire last_group = group == A_GROUP'(GROUPS - 1);
    wire last_query = query == A_N'(N - 1);
    wire free = !loading && (!last_key || room);
    wire step = free && (!first_slice || s1_valid);
    assign s1_ready = free && first_slice;
    wire next_key = step && last_slice;
    wire next_group = next_key && last_key;
    wire next_query = next_group && last_group;
    always_ff @(posedge clk)
        if (rst) begin
            loading <= 1'b1;
            slice <= '0;
            group <= '0;
            key <= '0;
            query <= '0;
            value_at <= '0;
        end else begin
            if (loaded) loading <= 1'b0;
            else if (next_query && last_query) loading <= 1'b1;
            if (step) begin
                slice <= last_slice ? '0 : slice + 1'b1;
                value_at <= value_at == A'(WORDS - 1) ? '0 : value_at + 1'b1;
            end
            if (next_key) key <= last_key ? '0 : key + 1'b1;
            if (next_group) group <= last_group ? '0 : group + 1'b1;
            if (next_query) query <= last_query ? '0 : query + 1'b1;
        end

    // Values and weights, two cycles later.
    logic [LANES*W_X-1:0] v;
    logic [HEADS*W_W-1:0] weight, w;
    ext_ram #(.WIDTH(LANES*W_X), .DEPTH(WORDS), .STYLE(VALUE_STYLE)) values (
        .clk, .write(arrive), .write_at(in_at), .write_data(s0_data), .read_at(value_at), .read_data(v));
    if (SLICES > 1) begin : held
        logic [HEADS*W_W-1:0] held_weight;
        always_ff @(posedge clk) if (first_slice) held_weight <= s1_data;
        assign weight = first_slice ? s1_data : held_weight;
    end else begin : used_once
        assign weight = s1_data;
    end
    ext_delay #(.WIDTH(HEADS*W_W), .CYCLES(2)) delay_w (.clk, .rst, .d(weight), .q(w));

    // Sums: those of the slices take turns.
    logic valid_sum, first_sum, valid_y;
    ext_delay #(.WIDTH(1), .CYCLES(T_SUM), .RESET(1)) delay_step (.clk, .rst, .d(step), .q(valid_sum));
    ext_delay #(.WIDTH(1), .CYCLES(T_SUM)) delay_first (.clk, .rst, .d(key == '0), .q(first_sum));
    ext_delay #(.WIDTH(1), .CYCLES(T), .RESET(1)) delay_last (.clk, .rst, .d(step && last_key), .q(valid_y));
    logic [LANES*W_A-1:0] sums_before, sums, contexts;
    logic [LANES*W_Y-1:0] y;
    ext_shift #(.WIDTH(LANES*W_A), .DEPTH(SLICES), .STYLE(SUM_STYLE)) partial (
        .clk, .rst, .move(valid_sum), .d(sums), .q(sums_before));
    always_ff @(posedge clk) contexts <= sums;
    for (genvar c = 0; c < LANES; c++) begin : lane
        logic signed [W_P-1:0] product;
        ext_multiply #(.W_X(W_X), .X_SIGNED(X_SIGNED), .W_W(W_W), .W_SIGNED(W_SIGNED), .IMPL(IMPL)) multiply (
            .clk, .x(v[c*W_X +: W_X]), .w(w[(c/DIMS)*W_W +: W_W]), .y(product));
        wire [W_A-1:0] start = first_sum ? '0 : sums_before[c*W_A +: W_A];
        assign sums[c*W_A +: W_A] = start + W_A'(product);
        ext_requantize #(.W_X(W_A), .W_Y(W_Y), .Y_SIGNED(Y_SIGNED), .SHIFT(SHIFT), .ROUNDING(ROUNDING),
            .SATURATION(SATURATION)) requantize (.clk, .x(contexts[c*W_A +: W_A]), .y(y[c*W_Y +: W_Y]));
    end
    ext_result #(.WIDTH(LANES*W_Y), .DEPTH(DEPTH)) result (
        .clk, .rst, .take(step && last_key), .room, .s_data(y), .s_valid(valid_y), .m_data, .m_valid, .m_ready);
endmodule
