// A sliding window that gives all of its taps at once, group of lanes by group.
//
// Pixels are numbered in raster order. The window of an output is complete with the pixel of its last tap, and runs on over the
// end of a row: no idle cycle between rows. Taps outside of the image get BORDER. A delay line of a row lies behind each row of
// the window, and one of a pixel behind each column; they move with every beat.
//
// The last windows of an image are complete with positions beyond it. If the next image is there, these are its first pixels,
// and nothing is lost; else they are idle pixels, before the next image begins.
//
//   parameters  HEIGHT, WIDTH, GROUPS        of the image: rows, columns, beats of a pixel
//               LANES, W_X                   of a beat, and bits of a number
//               FILT_HEIGHT, FILT_WIDTH      at least 2 each
//               STRIDE_HEIGHT, STRIDE_WIDTH, PAD_TOP, PAD_LEFT, OUT_HEIGHT, OUT_WIDTH
//               BORDER                       number outside of the image
//               OVERLAP                      whether the next image may come before the last windows are out; where it depends
//                                            on them, as in a loop, it may not
//               LINE_STYLE, COLUMN_STYLE     of the memories
//   cycles      GROUPS for each pixel; without OVERLAP also for each position beyond the image until the last window is complete
//   latency     2 cycles from the last tap to the window
//   storage     WIDTH * GROUPS words of (FILT_HEIGHT - 1) * LANES numbers; GROUPS words of FILT_HEIGHT * (FILT_WIDTH - 1) *
//               LANES; a FIFO of 3 windows
module ext_window_parallel #(
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
    parameter logic [W_X-1:0] BORDER = '0,
    parameter bit OVERLAP = 1,
    parameter LINE_STYLE = "auto",
    parameter COLUMN_STYLE = "auto",
    localparam int W = LANES * W_X, // bits of a beat
    localparam int TAPS = FILT_HEIGHT * FILT_WIDTH
) (
    input  logic              clk,
    input  logic              rst,
    input  logic [W-1:0]      s_data,
    input  logic              s_valid,
    output logic              s_ready,
    output logic [TAPS*W-1:0] m_data,
    output logic              m_valid,
    input  logic              m_ready
);
    localparam int FIRST = (FILT_HEIGHT - 1 - PAD_TOP) * WIDTH + FILT_WIDTH - 1 - PAD_LEFT; // last tap of the first window
    localparam int LAST = FIRST + (OUT_HEIGHT - 1) * STRIDE_HEIGHT * WIDTH + (OUT_WIDTH - 1) * STRIDE_WIDTH;
    localparam int PIXELS = HEIGHT * WIDTH;
    localparam int ROW_STEP = STRIDE_HEIGHT * WIDTH - (OUT_WIDTH - 1) * STRIDE_WIDTH;
    localparam int P = $clog2(PIXELS + LAST + STRIDE_HEIGHT * WIDTH + 1);
    localparam int BEYOND = LAST + 1 - PIXELS; // positions
    localparam int A_GROUP = GROUPS < 2 ? 1 : $clog2(GROUPS);
    localparam int A_ROW = OUT_HEIGHT < 2 ? 1 : $clog2(OUT_HEIGHT);
    localparam int A_COL = OUT_WIDTH < 2 ? 1 : $clog2(OUT_WIDTH);
    localparam int Y = $clog2(HEIGHT + FILT_HEIGHT + STRIDE_HEIGHT + PAD_TOP + 1) + 1; // signed rows and columns
    localparam int X = $clog2(WIDTH + FILT_WIDTH + STRIDE_WIDTH + PAD_LEFT + 1) + 1;
    if (FILT_HEIGHT < 2 || FILT_WIDTH < 2) $error("ext_window_parallel: FILT_HEIGHT, FILT_WIDTH");
    if (HEIGHT < 1 || WIDTH < 1 || GROUPS < 1 || LANES < 1) $error("ext_window_parallel: HEIGHT, WIDTH, GROUPS, LANES");
    if (OVERLAP && BEYOND >= PIXELS) $error("ext_window_parallel: OVERLAP of more than an image");

    // The pixel that enters, and the window that is completed next. Positions count from the first pixel of the image of that
    // window; they are `ahead` when that image is in.
    logic [P-1:0] pixel, pos, last_tap;
    logic [A_GROUP-1:0] group;
    logic [A_ROW-1:0] row;
    logic [A_COL-1:0] col;
    logic signed [Y-1:0] top; // first row and column of its taps
    logic signed [X-1:0] left;
    logic ahead, idling; // within an idle pixel
    logic done;          // all windows of the image are out
    logic room;
    wire complete = pos == last_tap && !done;
    wire free = !complete || room;
    wire may_enter = !idling && (OVERLAP || !ahead);
    wire may_idle = idling || (ahead && pixel == '0 && group == '0);
    wire enter = s_valid && may_enter;
    wire step = free && (enter || may_idle);
    wire last_group = group == A_GROUP'(GROUPS - 1);
    wire last_pixel = pixel == P'(PIXELS - 1);
    wire last_col = col == A_COL'(OUT_WIDTH - 1);
    wire last_row = row == A_ROW'(OUT_HEIGHT - 1);
    wire last_window = complete && last_col && last_row;
    wire [P-1:0] next_pixel = !enter ? pixel : last_pixel ? '0 : pixel + 1'b1;
    wire image_in = !ahead && last_pixel;
    wire next_image = ahead ? last_window : image_in && (done || last_window);
    assign s_ready = free && may_enter;
    always_ff @(posedge clk)
        if (rst) begin
            pixel <= '0;
            group <= '0;
            idling <= 1'b0;
        end else if (step) begin
            group <= last_group ? '0 : group + 1'b1;
            idling <= !enter && !last_group;
            if (last_group) pixel <= next_pixel;
        end
    always_ff @(posedge clk)
        if (rst || (step && last_group && next_image)) begin
            pos <= rst ? '0 : next_pixel;
            ahead <= 1'b0;
            last_tap <= P'(FIRST);
            row <= '0;
            col <= '0;
            top <= -Y'(PAD_TOP);
            left <= -X'(PAD_LEFT);
            done <= 1'b0;
        end else if (step && last_group) begin
            pos <= pos + 1'b1;
            if (image_in) ahead <= 1'b1;
            if (last_window) done <= 1'b1;
            if (complete) begin
                last_tap <= last_tap + (last_col ? P'(ROW_STEP) : P'(STRIDE_WIDTH));
                col <= last_col ? '0 : col + 1'b1;
                left <= last_col ? -X'(PAD_LEFT) : left + X'(STRIDE_WIDTH);
                if (last_col) begin
                    row <= row + 1'b1;
                    top <= top + Y'(STRIDE_HEIGHT);
                end
            end
        end

    // Rows: the last one is the beat that enters. Columns: the last one is that of the rows.
    logic [(FILT_HEIGHT-1)*W-1:0] row_q, row_d;
    ext_shift #(.WIDTH((FILT_HEIGHT-1)*W), .DEPTH(WIDTH*GROUPS), .STYLE(LINE_STYLE)) line (
        .clk, .rst, .move(step), .d(row_d), .q(row_q));
    wire [FILT_HEIGHT*W-1:0] column = {s_data, row_q};
    assign row_d = column[FILT_HEIGHT*W-1:W];
    localparam int BEFORE = FILT_WIDTH - 1;
    logic [FILT_HEIGHT*BEFORE*W-1:0] col_q, col_d;
    ext_shift #(.WIDTH(FILT_HEIGHT*BEFORE*W), .DEPTH(GROUPS), .STYLE(COLUMN_STYLE)) columns (
        .clk, .rst, .move(step), .d(col_d), .q(col_q));

    logic [TAPS*W-1:0] window;
    for (genvar k = 0; k < FILT_HEIGHT; k++) begin : tap_row
        wire signed [Y-1:0] y = top + Y'(k);
        wire row_inside = y >= 0 && y < $signed(Y'(HEIGHT));
        wire [FILT_WIDTH*W-1:0] taps = {column[k*W +: W], col_q[k*BEFORE*W +: BEFORE*W]};
        assign col_d[k*BEFORE*W +: BEFORE*W] = taps[FILT_WIDTH*W-1:W];
        for (genvar j = 0; j < FILT_WIDTH; j++) begin : tap
            wire signed [X-1:0] x = left + X'(j);
            wire inside_ = row_inside && x >= 0 && x < $signed(X'(WIDTH));
            assign window[(k*FILT_WIDTH+j)*W +: W] = inside_ ? taps[j*W +: W] : {LANES{BORDER}};
        end
    end
    ext_fifo #(.WIDTH(TAPS*W)) fifo (
        .clk, .rst, .s_data(window), .s_valid(complete && (enter || may_idle)), .s_ready(room),
        .m_data, .m_valid, .m_ready);
endmodule
