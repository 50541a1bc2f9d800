// A sliding window that gives one tap a cycle: for each output pixel group by group, the taps of a group in raster order.
//
// Beats go into a ring of rows as they come; taps are read from it as soon as the last pixel of a window is there. Both go on by
// themselves: rows of the next windows, and of the next image, come in while taps go out. Taps outside of the image get BORDER.
//
//   parameters  HEIGHT, WIDTH, GROUPS        of the image: rows, columns, beats of a pixel
//               LANES, W_X                   of a beat, and bits of a number
//               FILT_HEIGHT, FILT_WIDTH, STRIDE_HEIGHT, STRIDE_WIDTH, PAD_TOP, PAD_LEFT, OUT_HEIGHT, OUT_WIDTH
//               RING_ROWS                    min(FILT_HEIGHT + STRIDE_HEIGHT, HEIGHT)
//               BORDER                       number outside of the image
//               DEPTH                        taps in flight and in the FIFO; at least 7
//               ROW_STYLE                    of the ring
//   cycles      FILT_HEIGHT * FILT_WIDTH * GROUPS an output pixel; one for each beat of the input
//   latency     5 cycles from the last pixel of a window to its first tap
//   storage     RING_ROWS * WIDTH * GROUPS words of LANES numbers
module ext_window_serial #(
    parameter int HEIGHT = 4,
    parameter int WIDTH = 4,
    parameter int GROUPS = 1,
    parameter int LANES = 1,
    parameter int W_X = 8,
    parameter int FILT_HEIGHT = 3,
    parameter int FILT_WIDTH = 3,
    parameter int STRIDE_HEIGHT = 1,
    parameter int STRIDE_WIDTH = 1,
    parameter int PAD_TOP = 1,
    parameter int PAD_LEFT = 1,
    parameter int OUT_HEIGHT = 4,
    parameter int OUT_WIDTH = 4,
    parameter int RING_ROWS = 4,
    parameter logic [W_X-1:0] BORDER = '0,
    parameter int DEPTH = 8,
    parameter ROW_STYLE = "auto",
    localparam int W = LANES * W_X
) (
    input  logic         clk,
    input  logic         rst,
    input  logic [W-1:0] s_data,
    input  logic         s_valid,
    output logic         s_ready,
    output logic [W-1:0] m_data,
    output logic         m_valid,
    input  logic         m_ready
);
    localparam int ROW = WIDTH * GROUPS;      // words of a row
    localparam int IMAGE = HEIGHT * ROW;      // of an image
    localparam int RING = RING_ROWS * ROW;
    localparam int A = RING < 2 ? 1 : $clog2(RING);
    localparam int C = $clog2(IMAGE + RING + (STRIDE_HEIGHT + FILT_HEIGHT) * ROW + 1) + 1; // signed counts of words
    localparam int R = $clog2(2*RING + 1) + 1;                                             // addresses before they wrap
    localparam int Y = $clog2(HEIGHT + FILT_HEIGHT + STRIDE_HEIGHT + PAD_TOP + 1) + 1;     // signed rows and columns
    localparam int X = $clog2(WIDTH + FILT_WIDTH + STRIDE_WIDTH + PAD_LEFT + 1) + 1;
    localparam int XG = X + $clog2(GROUPS + 1);
    localparam int A_GROUP = GROUPS < 2 ? 1 : $clog2(GROUPS);
    localparam int A_ROW = OUT_HEIGHT < 2 ? 1 : $clog2(OUT_HEIGHT);
    localparam int A_COL = OUT_WIDTH < 2 ? 1 : $clog2(OUT_WIDTH);
    localparam int A_K = FILT_HEIGHT < 2 ? 1 : $clog2(FILT_HEIGHT);
    localparam int A_J = FILT_WIDTH < 2 ? 1 : $clog2(FILT_WIDTH);
    localparam int PAD_WORDS = (PAD_TOP % RING_ROWS) * ROW;
    localparam int STRIDE_WORDS = (STRIDE_HEIGHT % RING_ROWS) * ROW;
    localparam int IMAGE_WORDS = (HEIGHT % RING_ROWS) * ROW;
    localparam int FIRST_COL = FILT_WIDTH - 1 - PAD_LEFT; // of the last tap
    localparam int FIRST_ROWS = FILT_HEIGHT - 1 - PAD_TOP;
    if (HEIGHT < 1 || WIDTH < 1 || GROUPS < 1 || LANES < 1) $error("ext_window_serial: HEIGHT, WIDTH, GROUPS, LANES");
    if (RING_ROWS < 1 || RING_ROWS > HEIGHT) $error("ext_window_serial: RING_ROWS %0d", RING_ROWS);
    if (FILT_HEIGHT * FILT_WIDTH * GROUPS < 2) $error("ext_window_serial: a window of one tap");

    // An address in the ring, once around.
    function automatic logic [A-1:0] wrap(input logic [R-1:0] address);
        wrap = A'(address >= R'(RING) ? address - R'(RING) : address);
    endfunction

    // Words that have to be there before a window: `rows` of the rows above its last tap, and `words` of the row with it.
    localparam int FIRST_WORDS = (FIRST_COL + 1 < WIDTH ? FIRST_COL + 1 : WIDTH) * GROUPS;
    localparam int SECOND_WORDS = (FIRST_COL + 1 + STRIDE_WIDTH < WIDTH ? FIRST_COL + 1 + STRIDE_WIDTH : WIDTH) * GROUPS;
    localparam int FIRST_NEEDED = FIRST_ROWS < HEIGHT ? FIRST_ROWS * ROW + FIRST_WORDS : IMAGE;
    localparam int WORDS_STEP = STRIDE_WIDTH * GROUPS;
    localparam int ROWS_STEP = STRIDE_HEIGHT * ROW;

    // The writer: `written` words of the image whose taps go out, or more, which belong to the next.
    logic signed [C-1:0] written, limit, needed, next_needed; // of this output, and of the next
    logic [A-1:0] write_at;
    logic image_done;
    assign s_ready = written < limit;
    wire write = s_valid && s_ready;
    always_ff @(posedge clk)
        if (rst) begin
            written <= '0;
            write_at <= '0;
        end else begin
            written <= written + C'(write) - (image_done ? $signed(C'(IMAGE)) : '0);
            if (write) write_at <= write_at == A'(RING - 1) ? '0 : write_at + 1'b1;
        end

    // The reader: which tap comes next.
    logic [A_ROW-1:0] row;
    logic [A_COL-1:0] col;
    logic [A_GROUP-1:0] group;
    logic [A_K-1:0] k;
    logic [A_J-1:0] j;
    logic signed [Y-1:0] top, y;          // row of the first tap, of this tap
    logic signed [X-1:0] left, x;         // column of the first tap, of this tap
    logic signed [XG-1:0] left_words, x_words;
    logic [A-1:0] image_at, window_at, row_at; // in the ring: first row of the image, of the window, row of this tap
    logic finished, room;                 // all taps of the image are out: wait for the rest of it
    wire last_j = j == A_J'(FILT_WIDTH - 1);
    wire last_k = k == A_K'(FILT_HEIGHT - 1);
    wire last_group = group == A_GROUP'(GROUPS - 1);
    wire last_col = col == A_COL'(OUT_WIDTH - 1);
    wire last_row = row == A_ROW'(OUT_HEIGHT - 1);
    wire step = !finished && room && written >= needed;
    wire next_group = step && last_j && last_k;
    wire next_output = next_group && last_group;
    wire next_row = next_output && last_col;
    wire end_of_image = next_row && last_row;
    // With the whole image there, the last tap has what it needs.
    wire last_tap = last_j && last_k && last_group && last_col && last_row;
    assign image_done = (finished || (last_tap && room)) && written >= $signed(C'(IMAGE));
    wire [A-1:0] next_image_at = wrap(R'(image_at) + R'(IMAGE_WORDS));
    wire [A-1:0] first_image_window = wrap(R'(next_image_at) + R'(RING - PAD_WORDS));
    wire [A-1:0] next_window_at = wrap(R'(window_at) + R'(STRIDE_WORDS));
    always_ff @(posedge clk)
        if (rst || image_done) begin
            row <= '0;
            col <= '0;
            group <= '0;
            k <= '0;
            j <= '0;
            top <= -Y'(PAD_TOP);
            y <= -Y'(PAD_TOP);
            left <= -X'(PAD_LEFT);
            x <= -X'(PAD_LEFT);
            left_words <= -XG'(PAD_LEFT * GROUPS);
            x_words <= -XG'(PAD_LEFT * GROUPS);
            needed <= C'(FIRST_NEEDED);
            image_at <= rst ? '0 : next_image_at;
            window_at <= rst ? A'((RING - PAD_WORDS) % RING) : first_image_window;
            row_at <= rst ? A'((RING - PAD_WORDS) % RING) : first_image_window;
            finished <= 1'b0;
        end else begin
            if (end_of_image) finished <= 1'b1;
            if (step) begin
                j <= last_j ? '0 : j + 1'b1;
                x <= last_j ? left : x + 1'b1;
                x_words <= last_j ? left_words : x_words + $signed(XG'(GROUPS));
                if (last_j) begin
                    k <= last_k ? '0 : k + 1'b1;
                    y <= last_k ? top : y + 1'b1;
                    row_at <= last_k ? window_at : wrap(R'(row_at) + R'(ROW));
                end
            end
            if (next_group) group <= last_group ? '0 : group + 1'b1;
            if (next_output) begin
                col <= last_col ? '0 : col + 1'b1;
                left <= last_col ? -X'(PAD_LEFT) : left + X'(STRIDE_WIDTH);
                x <= last_col ? -X'(PAD_LEFT) : left + X'(STRIDE_WIDTH);
                left_words <= last_col ? -XG'(PAD_LEFT * GROUPS) : left_words + XG'(STRIDE_WIDTH * GROUPS);
                x_words <= last_col ? -XG'(PAD_LEFT * GROUPS) : left_words + XG'(STRIDE_WIDTH * GROUPS);
                needed <= next_needed;
            end
            if (next_row) begin
                row <= row + 1'b1;
                top <= top + Y'(STRIDE_HEIGHT);
                y <= top + Y'(STRIDE_HEIGHT);
                window_at <= next_window_at;
                row_at <= next_window_at;
            end
        end
    // What the next output needs, worked out while the taps of this one go out: an output has at least two.
    logic [A_COL-1:0] next_col;
    logic signed [C-1:0] next_rows, next_words;
    wire next_last_col = next_col == A_COL'(OUT_WIDTH - 1);
    always_ff @(posedge clk) begin
        next_needed <= next_rows < $signed(C'(IMAGE)) ? next_rows + next_words : $signed(C'(IMAGE));
        if (rst || image_done) begin
            next_col <= OUT_WIDTH > 1 ? A_COL'(1) : '0;
            next_words <= OUT_WIDTH > 1 ? C'(SECOND_WORDS) : C'(FIRST_WORDS);
            next_rows <= OUT_WIDTH > 1 ? C'(FIRST_ROWS * ROW) : C'(FIRST_ROWS * ROW + ROWS_STEP);
        end else if (next_output) begin
            next_col <= next_last_col ? '0 : next_col + 1'b1;
            next_words <= next_last_col ? C'(FIRST_WORDS)
                : next_words < $signed(C'(ROW - WORDS_STEP)) ? next_words + $signed(C'(WORDS_STEP)) : $signed(C'(ROW));
            if (next_last_col) next_rows <= next_rows + $signed(C'(ROWS_STEP));
        end
    end
    // Rows above the window may be overwritten, a cycle after their last tap was read.
    wire signed [C-1:0] above = top > 0 ? C'(top) * $signed(C'(ROW)) : '0;
    always_ff @(posedge clk) limit <= rst || image_done ? $signed(C'(RING)) : above + $signed(C'(RING));

    // Its address, and whether it lies inside; the word comes two cycles later.
    logic [A-1:0] read_at;
    logic inside_, was_inside, valid;
    wire signed [XG-1:0] offset = x_words + $signed(XG'(group));
    always_ff @(posedge clk) begin
        read_at <= A'(R'(row_at) + R'(offset));
        inside_ <= y >= 0 && y < $signed(Y'(HEIGHT)) && x >= 0 && x < $signed(X'(WIDTH));
    end
    logic [W-1:0] word;
    ext_ram #(.WIDTH(W), .DEPTH(RING), .STYLE(ROW_STYLE)) rows (
        .clk, .write, .write_at, .write_data(s_data), .read_at(inside_ ? read_at : '0), .read_data(word));
    ext_delay #(.WIDTH(1), .CYCLES(2)) delay_inside (.clk, .rst, .d(inside_), .q(was_inside));
    ext_delay #(.WIDTH(1), .CYCLES(3), .RESET(1)) delay_step (.clk, .rst, .d(step), .q(valid));
    ext_result #(.WIDTH(W), .DEPTH(DEPTH)) result (
        .clk, .rst, .take(step), .room, .s_data(was_inside ? word : {LANES{BORDER}}), .s_valid(valid),
        .m_data, .m_valid, .m_ready);
endmodule
