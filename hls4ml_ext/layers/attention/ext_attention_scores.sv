// The first half of attention over the N = HEIGHT * WIDTH pixels of a map: the scores of each query with all keys.
//
//   score[i][j] = requantize(q[i] . (k[j] + position))
//
// A pixel comes as GROUPS * SLICES beats of queries, as many of keys, as many of values; a beat has HEADS * DIMS lanes: HEADS
// heads with all of their dims (SLICES = 1), or a slice of the dims of one head. Queries and keys are kept; values go to the
// first output. Then, for each query, each group of heads and each key, the slices of the dims are multiplied one a cycle, and
// the HEADS scores of a key go to the second output.
//
// Positions are added to the keys: "additive", row[y_j] + col[x_j], as they come; "relative", row[y_j - y_i + HEIGHT - 1] +
// col[x_j - x_i + WIDTH - 1], the same for all heads, when they are used.
//
//   parameters  HEIGHT, WIDTH, GROUPS, HEADS, DIMS, SLICES
//               W_X, X_SIGNED             of a number of the input
//               POSITION                  "none", "additive", "relative"
//               W_K, KEY_SHIFT            bits of a key with its position, and fractional bits that it has more than the input
//               W_STORED                  bits of a key as it is kept: W_K, or without the position that is added later
//               ROW_WORDS, W_ROW, ROW_SIGNED, ROW_SHIFT, ROWS   the table of rows: words, bits and sign of a number, fractional
//                                         bits that a key has more, file; words of HEADS * DIMS numbers (additive) or DIMS
//               COL_WORDS .. COLS         the table of columns
//               W_A                       bits of a sum
//               W_Y, Y_SIGNED, SHIFT, ROUNDING, SATURATION  of a score; see ext_requantize
//               IMPL                      of the products; see ext_multiply
//               DEPTH                     scores in flight and in the FIFO; see ext_result
//               VALUE_DEPTH               of the FIFO of values
//               *_STYLE                   of the memories
//   cycles      with R = GROUPS * SLICES, 3 * N * R for what comes, N * N * R for the products
//   latency     from the last slice of a key to its scores: T + 2, where T is 6 + ceil(ceil(log2 DIMS) / 2), 1 more for
//               relative positions and 3 more for additive ones; 2 for values
//   storage     queries and keys, N * R words of HEADS * DIMS numbers each; the tables; HEADS accumulators; the FIFOs
module ext_attention_scores #(
    parameter int HEIGHT = 2,
    parameter int WIDTH = 3,
    parameter int GROUPS = 1,
    parameter int HEADS = 2,
    parameter int DIMS = 4,
    parameter int SLICES = 1,
    parameter int W_X = 8,
    parameter bit X_SIGNED = 1,
    parameter POSITION = "none",
    parameter int W_K = 8,
    parameter int KEY_SHIFT = 0,
    parameter int W_STORED = 8,
    parameter int ROW_WORDS = 1,
    parameter int W_ROW = 1,
    parameter bit ROW_SIGNED = 1,
    parameter int ROW_SHIFT = 0,
    parameter ROWS = "",
    parameter int COL_WORDS = 1,
    parameter int W_COL = 1,
    parameter bit COL_SIGNED = 1,
    parameter int COL_SHIFT = 0,
    parameter COLS = "",
    parameter int W_A = 20,
    parameter int W_Y = 8,
    parameter bit Y_SIGNED = 0,
    parameter int SHIFT = 6,
    parameter ROUNDING = "RND_CONV",
    parameter SATURATION = "SAT",
    parameter IMPL = "lut",
    parameter int DEPTH = 16,
    parameter int VALUE_DEPTH = 2,
    parameter QUERY_STYLE = "auto",
    parameter KEY_STYLE = "auto",
    parameter ROW_STYLE = "auto",
    parameter COL_STYLE = "auto",
    localparam int LANES = HEADS * DIMS
) (
    input  logic                 clk,
    input  logic                 rst,
    input  logic [LANES*W_X-1:0] s_data,
    input  logic                 s_valid,
    output logic                 s_ready,
    output logic [LANES*W_X-1:0] m0_data,
    output logic                 m0_valid,
    input  logic                 m0_ready,
    output logic [HEADS*W_Y-1:0] m1_data,
    output logic                 m1_valid,
    input  logic                 m1_ready
);
    localparam bit ADDITIVE = POSITION == "additive";
    localparam bit RELATIVE = POSITION == "relative";
    localparam int N = HEIGHT * WIDTH;
    localparam int WORDS = N * GROUPS * SLICES;
    localparam int LAST_PIXEL = (N - 1) * SLICES;         // address of the last pixel, in the first group
    localparam int NEXT_GROUP = N * SLICES - SLICES + 1;  // from the last slice in a group to the first in the next
    localparam int A = WORDS < 2 ? 1 : $clog2(WORDS);
    localparam int A_N = N < 2 ? 1 : $clog2(N);
    localparam int A_SLICE = SLICES < 2 ? 1 : $clog2(SLICES);
    localparam int A_GROUP = GROUPS < 2 ? 1 : $clog2(GROUPS);
    localparam int A_COL = WIDTH < 2 ? 1 : $clog2(WIDTH);
    localparam int A_R = ROW_WORDS < 2 ? 1 : $clog2(ROW_WORDS);
    localparam int A_C = COL_WORDS < 2 ? 1 : $clog2(COL_WORDS);
    localparam int W_S = W_K + W_X + (X_SIGNED ? 0 : 1) + (DIMS < 2 ? 0 : $clog2(DIMS));
    localparam int T_DOT = 1 + (DIMS < 2 ? 0 : ($clog2(DIMS) + 1) / 2);
    localparam int T_KEEP = ADDITIVE ? 3 : 0;                    // cycles until what comes is written, and read
    localparam int T_SUM = T_KEEP + 2 + (RELATIVE ? 1 : 0) + T_DOT; // from the step to its sums
    localparam int T = T_SUM + 3;                                // to its scores
    if (HEIGHT < 1 || WIDTH < 1 || GROUPS < 1 || DIMS < 1) $error("ext_attention_scores: HEIGHT, WIDTH, GROUPS, DIMS");
    if (HEADS < 1 || SLICES < 1 || (HEADS > 1 && SLICES > 1)) $error("ext_attention_scores: HEADS, SLICES");
    if (!ADDITIVE && !RELATIVE && POSITION != "none") $error("ext_attention_scores: POSITION");
    if (KEY_SHIFT < 0 || ROW_SHIFT < 0 || COL_SHIFT < 0) $error("ext_attention_scores: shifts");
    if (W_K < W_X || W_STORED < W_X || W_STORED > W_K) $error("ext_attention_scores: W_K %0d, W_STORED %0d", W_K, W_STORED);

    // What comes: queries, keys or values (part), of which pixel, group and slice.
    logic loading, values_room;
    logic [1:0] part;
    logic [A_SLICE-1:0] in_slice;
    logic [A_GROUP-1:0] in_group;
    logic [A-1:0] in_pixel, in_at; // address of the pixel in the first group, of the word
    wire of_values = part == 2'd2;
    wire in_last_slice = in_slice == A_SLICE'(SLICES - 1);
    wire in_last_word = in_last_slice && in_group == A_GROUP'(GROUPS - 1);
    wire in_last_pixel = in_pixel == A'(LAST_PIXEL);
    wire [A-1:0] in_next_pixel = in_last_pixel ? '0 : in_pixel + A'(SLICES);
    assign s_ready = loading && (!of_values || values_room);
    wire arrive = s_valid && s_ready;
    wire next_part = arrive && in_last_word;
    wire next_pixel = next_part && of_values;
    wire loaded = next_pixel && in_last_pixel;
    always_ff @(posedge clk)
        if (rst) begin
            part <= '0;
            in_slice <= '0;
            in_group <= '0;
            in_pixel <= '0;
            in_at <= '0;
        end else if (arrive) begin
            in_slice <= in_last_slice ? '0 : in_slice + 1'b1;
            if (in_last_slice) in_group <= in_last_word ? '0 : in_group + 1'b1;
            if (in_last_word) part <= of_values ? '0 : part + 1'b1;
            if (next_pixel) in_pixel <= in_next_pixel;
            in_at <= in_last_word ? (of_values ? in_next_pixel : in_pixel)
                                  : in_last_slice ? in_at + A'(NEXT_GROUP) : in_at + 1'b1;
        end
    ext_fifo #(.WIDTH(LANES*W_X), .DEPTH(VALUE_DEPTH)) values (
        .clk, .rst, .s_data, .s_valid(s_valid && loading && of_values), .s_ready(values_room),
        .m_data(m0_data), .m_valid(m0_valid), .m_ready(m0_ready));

    // Which step comes next.
    logic room;
    logic [A_SLICE-1:0] slice;
    logic [A_GROUP-1:0] group;
    logic [A_N-1:0] key;
    logic [A-1:0] query, query_at, key_at; // address of the query in the first group, of the words
    wire last_slice = slice == A_SLICE'(SLICES - 1);
    wire last_key = key == A_N'(N - 1);
    wire last_group = group == A_GROUP'(GROUPS - 1);
    wire last_query = query == A'(LAST_PIXEL);
    wire step = !loading && (!last_slice || room);
    wire next_key = step && last_slice;
    wire next_group = next_key && last_key;
    wire next_query = next_group && last_group;
    wire [A-1:0] query_behind = last_query ? '0 : query + A'(SLICES);
    always_ff @(posedge clk)
        if (rst) begin
            loading <= 1'b1;
            slice <= '0;
            group <= '0;
            key <= '0;
            query <= '0;
            query_at <= '0;
            key_at <= '0;
        end else begin
            if (loaded) loading <= 1'b0;
            else if (next_query && last_query) loading <= 1'b1;
            if (step) begin
                slice <= last_slice ? '0 : slice + 1'b1;
                key_at <= key_at == A'(WORDS - 1) ? '0 : key_at + 1'b1;
                query_at <= !last_slice ? query_at + 1'b1 : !last_key ? query_at - A'(SLICES - 1)
                          : !last_group ? query_at + A'(NEXT_GROUP) : query_behind;
            end
            if (next_key) key <= last_key ? '0 : key + 1'b1;
            if (next_group) group <= last_group ? '0 : group + 1'b1;
            if (next_query) query <= query_behind;
        end

    // Queries and keys as they are kept.
    logic write_query, write_key;
    logic [A-1:0] write_at, read_query_at, read_key_at;
    logic [LANES*W_X-1:0] came, q_word;
    logic [LANES*W_STORED-1:0] k_write, k_word;
    ext_delay #(.WIDTH(2), .CYCLES(T_KEEP), .RESET(1)) delay_write (
        .clk, .rst, .d({arrive && part == 2'd0, arrive && part == 2'd1}), .q({write_query, write_key}));
    ext_delay #(.WIDTH(A+LANES*W_X), .CYCLES(T_KEEP)) delay_came (.clk, .rst, .d({in_at, s_data}), .q({write_at, came}));
    ext_delay #(.WIDTH(2*A), .CYCLES(T_KEEP)) delay_read (
        .clk, .rst, .d({query_at, key_at}), .q({read_query_at, read_key_at}));
    ext_ram #(.WIDTH(LANES*W_X), .DEPTH(WORDS), .STYLE(QUERY_STYLE)) queries (
        .clk, .write(write_query), .write_at, .write_data(came), .read_at(read_query_at), .read_data(q_word));
    ext_ram #(.WIDTH(LANES*W_STORED), .DEPTH(WORDS), .STYLE(KEY_STYLE)) keys (
        .clk, .write(write_key), .write_at, .write_data(k_write), .read_at(read_key_at), .read_data(k_word));

    // Their positions: a word of both tables, two cycles after the address.
    localparam int P = ADDITIVE ? LANES : DIMS;
    wire [P*W_K-1:0] position;
    if (ADDITIVE || RELATIVE) begin : positions
        logic [A_R-1:0] row_at;
        logic [A_C-1:0] col_at;
        logic [P*W_ROW-1:0] row_word;
        logic [P*W_COL-1:0] col_word;
        ext_rom #(.WIDTH(P*W_ROW), .DEPTH(ROW_WORDS), .FILE(ROWS), .STYLE(ROW_STYLE)) rows (
            .clk, .read_at(row_at), .read_data(row_word));
        ext_rom #(.WIDTH(P*W_COL), .DEPTH(COL_WORDS), .FILE(COLS), .STYLE(COL_STYLE)) cols (
            .clk, .read_at(col_at), .read_data(col_word));
        for (genvar c = 0; c < P; c++) begin : lane
            wire signed [W_K-1:0] row, col;
            if (ROW_SIGNED) begin : row_signed
                wire signed [W_ROW-1:0] r = row_word[c*W_ROW +: W_ROW];
                assign row = W_K'(r);
            end else begin : row_unsigned
                assign row = W_K'(row_word[c*W_ROW +: W_ROW]);
            end
            if (COL_SIGNED) begin : col_signed
                wire signed [W_COL-1:0] r = col_word[c*W_COL +: W_COL];
                assign col = W_K'(r);
            end else begin : col_unsigned
                assign col = W_K'(col_word[c*W_COL +: W_COL]);
            end
            assign position[c*W_K +: W_K] = (row <<< ROW_SHIFT) + (col <<< COL_SHIFT);
        end

        if (ADDITIVE) begin : of_arrivals
            localparam int FOLD = GROUPS * SLICES;
            logic [A_R-1:0] first_row_at; // of the first word of the pixel
            logic [A_C-1:0] first_col_at;
            wire last_col = first_col_at == A_C'((WIDTH - 1) * FOLD);
            wire last_row = first_row_at == A_R'((HEIGHT - 1) * FOLD);
            wire [A_C-1:0] next_col_at = last_col ? '0 : first_col_at + A_C'(FOLD);
            wire [A_R-1:0] next_row_at = !last_col ? first_row_at : last_row ? '0 : first_row_at + A_R'(FOLD);
            always_ff @(posedge clk)
                if (rst) begin
                    first_row_at <= '0;
                    first_col_at <= '0;
                    row_at <= '0;
                    col_at <= '0;
                end else if (next_pixel) begin
                    first_row_at <= next_row_at;
                    first_col_at <= next_col_at;
                    row_at <= next_row_at;
                    col_at <= next_col_at;
                end else if (arrive) begin
                    row_at <= in_last_word ? first_row_at : row_at + 1'b1;
                    col_at <= in_last_word ? first_col_at : col_at + 1'b1;
                end
        end else begin : of_pairs
            localparam int TOP = (HEIGHT - 1) * SLICES; // the first key of the first query
            localparam int LEFT = (WIDTH - 1) * SLICES;
            logic [A_COL-1:0] key_col;
            logic [A_R-1:0] first_row_at; // of the first key of the query
            logic [A_C-1:0] first_col_at;
            wire last_col = key_col == A_COL'(WIDTH - 1);
            wire last_query_col = first_col_at == '0;
            wire [A_C-1:0] next_col_at = last_query_col ? A_C'(LEFT) : first_col_at - A_C'(SLICES);
            wire [A_R-1:0] next_row_at = !last_query_col ? first_row_at
                                       : first_row_at == '0 ? A_R'(TOP) : first_row_at - A_R'(SLICES);
            always_ff @(posedge clk)
                if (rst) begin
                    key_col <= '0;
                    first_row_at <= A_R'(TOP);
                    first_col_at <= A_C'(LEFT);
                    row_at <= A_R'(TOP);
                    col_at <= A_C'(LEFT);
                end else if (step) begin
                    if (last_slice) key_col <= last_col ? '0 : key_col + 1'b1;
                    if (next_query) begin
                        first_row_at <= next_row_at;
                        first_col_at <= next_col_at;
                    end
                    row_at <= !last_slice ? row_at + 1'b1
                            : last_key ? (last_group ? next_row_at : first_row_at)
                            : last_col ? row_at + 1'b1 : row_at - A_R'(SLICES - 1);
                    col_at <= last_slice && last_key ? (last_group ? next_col_at : first_col_at)
                            : last_slice && last_col ? first_col_at : col_at + 1'b1;
                end
        end
    end else begin : no_positions
        assign position = '0;
        wire unused = ^position;
    end

    // Keys with their positions.
    logic [LANES*W_X-1:0] q;
    logic [LANES*W_K-1:0] k;
    if (ADDITIVE) begin : kept_with_position
        logic [LANES*W_X-1:0] beat; // with the word of its position
        ext_delay #(.WIDTH(LANES*W_X), .CYCLES(2)) delay_beat (.clk, .rst, .d(s_data), .q(beat));
        for (genvar c = 0; c < LANES; c++) begin : lane
            wire signed [W_K-1:0] x;
            if (X_SIGNED) begin : x_signed
                wire signed [W_X-1:0] b = beat[c*W_X +: W_X];
                assign x = W_K'(b);
            end else begin : x_unsigned
                assign x = W_K'(beat[c*W_X +: W_X]);
            end
            wire signed [W_K-1:0] sum = (x <<< KEY_SHIFT) + $signed(position[c*W_K +: W_K]);
            always_ff @(posedge clk) k_write[c*W_STORED +: W_STORED] <= W_STORED'(sum);
            wire signed [W_STORED-1:0] stored = k_word[c*W_STORED +: W_STORED];
            assign k[c*W_K +: W_K] = W_K'(stored);
        end
        assign q = q_word;
    end else begin : kept_without
        for (genvar c = 0; c < LANES; c++) begin : lane
            if (X_SIGNED) begin : x_signed
                wire signed [W_X-1:0] b = came[c*W_X +: W_X];
                assign k_write[c*W_STORED +: W_STORED] = W_STORED'(b);
            end else begin : x_unsigned
                assign k_write[c*W_STORED +: W_STORED] = W_STORED'(came[c*W_X +: W_X]);
            end
            wire signed [W_STORED-1:0] stored = k_word[c*W_STORED +: W_STORED];
            if (RELATIVE) begin : add
                always_ff @(posedge clk)
                    k[c*W_K +: W_K] <= (W_K'(stored) <<< KEY_SHIFT) + $signed(position[(c%DIMS)*W_K +: W_K]);
            end else begin : plain
                assign k[c*W_K +: W_K] = W_K'(stored) <<< KEY_SHIFT;
            end
        end
        ext_delay #(.WIDTH(LANES*W_X), .CYCLES(RELATIVE ? 1 : 0)) delay_q (.clk, .rst, .d(q_word), .q);
    end

    // Sums.
    logic [HEADS*W_S-1:0] sums;
    for (genvar a = 0; a < HEADS; a++) begin : head
        ext_dot #(.N(DIMS), .W_X(W_K), .X_SIGNED(1), .W_W(W_X), .W_SIGNED(X_SIGNED), .IMPL(IMPL)) dot (
            .clk, .x(k[a*DIMS*W_K +: DIMS*W_K]), .w(q[a*DIMS*W_X +: DIMS*W_X]), .sum(sums[a*W_S +: W_S]));
    end
    logic valid_sum, first_sum, valid_y;
    ext_delay #(.WIDTH(1), .CYCLES(T_SUM), .RESET(1)) delay_step (.clk, .rst, .d(step), .q(valid_sum));
    ext_delay #(.WIDTH(1), .CYCLES(T_SUM)) delay_first (.clk, .rst, .d(slice == '0), .q(first_sum));
    ext_delay #(.WIDTH(1), .CYCLES(T), .RESET(1)) delay_last (.clk, .rst, .d(next_key), .q(valid_y));

    // Scores.
    logic [HEADS*W_Y-1:0] y;
    ext_accumulate #(.PE(HEADS), .W_S(W_S), .W_B(1), .B_SIGNED(0), .W_A(W_A), .W_Y(W_Y), .Y_SIGNED(Y_SIGNED), .SHIFT(SHIFT),
        .ROUNDING(ROUNDING), .SATURATION(SATURATION)) accumulate (
        .clk, .valid(valid_sum), .first(first_sum), .sums, .biases('0), .y);
    ext_result #(.WIDTH(HEADS*W_Y), .DEPTH(DEPTH)) result (
        .clk, .rst, .take(next_key), .room, .s_data(y), .s_valid(valid_y),
        .m_data(m1_data), .m_valid(m1_valid), .m_ready(m1_ready));
endmodule
