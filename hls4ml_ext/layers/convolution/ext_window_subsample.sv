// A 1x1 window: drops pixels.
//
//   parameters  HEIGHT, WIDTH, GROUPS       of the image: rows, columns, beats of a pixel
//               STRIDE_HEIGHT, STRIDE_WIDTH
//               W                           bits of a beat
//   cycles      one beat of the input a cycle
//   latency     2 cycles
//   storage     a FIFO of 3 beats
module ext_window_subsample #(
    parameter int HEIGHT = 4,
    parameter int WIDTH = 4,
    parameter int GROUPS = 1,
    parameter int STRIDE_HEIGHT = 2,
    parameter int STRIDE_WIDTH = 2,
    parameter int W = 8
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
    localparam int A_ROW = HEIGHT < 2 ? 1 : $clog2(HEIGHT);
    localparam int A_COL = WIDTH < 2 ? 1 : $clog2(WIDTH);
    localparam int A_GROUP = GROUPS < 2 ? 1 : $clog2(GROUPS);
    localparam int A_Y = STRIDE_HEIGHT < 2 ? 1 : $clog2(STRIDE_HEIGHT);
    localparam int A_X = STRIDE_WIDTH < 2 ? 1 : $clog2(STRIDE_WIDTH);
    if (HEIGHT < 1 || WIDTH < 1 || GROUPS < 1) $error("ext_window_subsample: HEIGHT, WIDTH, GROUPS");
    if (STRIDE_HEIGHT < 1 || STRIDE_WIDTH < 1) $error("ext_window_subsample: strides");

    logic [A_ROW-1:0] row;
    logic [A_COL-1:0] col;
    logic [A_GROUP-1:0] group;
    logic [A_Y-1:0] y; // row and column since the last one that is kept
    logic [A_X-1:0] x;
    wire keep = y == '0 && x == '0;
    wire last_group = group == A_GROUP'(GROUPS - 1);
    wire last_col = col == A_COL'(WIDTH - 1);
    wire last_row = row == A_ROW'(HEIGHT - 1);
    logic room;
    assign s_ready = !keep || room;
    wire step = s_valid && s_ready;
    always_ff @(posedge clk)
        if (rst) begin
            {row, col, group} <= '0;
            y <= '0;
            x <= '0;
        end else if (step) begin
            group <= last_group ? '0 : group + 1'b1;
            if (last_group) begin
                col <= last_col ? '0 : col + 1'b1;
                x <= last_col || x == A_X'(STRIDE_WIDTH - 1) ? '0 : x + 1'b1;
                if (last_col) begin
                    row <= last_row ? '0 : row + 1'b1;
                    y <= last_row || y == A_Y'(STRIDE_HEIGHT - 1) ? '0 : y + 1'b1;
                end
            end
        end
    ext_fifo #(.WIDTH(W)) fifo (
        .clk, .rst, .s_data, .s_valid(s_valid && keep), .s_ready(room), .m_data, .m_valid, .m_ready);
endmodule
