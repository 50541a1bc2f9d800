// A network with one input and one output behind a serial line: bytes to beats, beats to bytes. A beat is as many bytes as its
// bits need, the low byte first. The network is connected outside of this module.
//
//   parameters  W_IN, W_OUT  bits of a beat of the network's input and output
//               CLOCK        frequency in Hz
//               BAUD         bits a second on the line
//               BYTES        of the FIFO between the line and the network, which the line can't wait for
//   cycles      10 * CLOCK / BAUD a byte
//   latency     of a byte, and 4 cycles
//   storage     the FIFO and both beats
module ext_serial_top #(
    parameter int W_IN = 8,
    parameter int W_OUT = 8,
    parameter int CLOCK = 100_000_000,
    parameter int BAUD = 115_200,
    parameter int BYTES = 2048
) (
    input  logic             clk,
    input  logic             rst,
    input  logic             receive, // lines
    output logic             send,
    output logic             lost,    // a byte came while the FIFO was full, since the reset
    output logic [W_IN-1:0]  m_data,  // to the network
    output logic             m_valid,
    input  logic             m_ready,
    input  logic [W_OUT-1:0] s_data,  // from the network
    input  logic             s_valid,
    output logic             s_ready
);
    localparam int CLOCKS = (CLOCK + BAUD / 2) / BAUD;
    localparam int B_IN = (W_IN + 7) / 8;
    localparam int B_OUT = (W_OUT + 7) / 8;
    localparam int L_IN = $clog2(B_IN + 1);
    localparam int L_OUT = $clog2(B_OUT + 1);

    logic [7:0] received, next;
    logic received_valid, room, next_valid;
    ext_uart_receive #(.CLOCKS(CLOCKS)) receiver (.clk, .rst, .line(receive), .data(received), .valid(received_valid));
    ext_fifo #(.WIDTH(8), .DEPTH(BYTES), .STYLE("block")) fifo (
        .clk, .rst, .s_data(received), .s_valid(received_valid), .s_ready(room),
        .m_data(next), .m_valid(next_valid), .m_ready(!m_valid));
    always_ff @(posedge clk)
        if (rst) lost <= 1'b0;
        else if (received_valid && !room) lost <= 1'b1;

    logic [8*B_IN-1:0] beat;
    logic [L_IN-1:0] filled;
    wire [8*B_IN+7:0] moved = {next, beat};
    assign m_valid = filled == L_IN'(B_IN);
    assign m_data = beat[W_IN-1:0];
    always_ff @(posedge clk) if (!m_valid && next_valid) beat <= moved[8*B_IN+7:8];
    always_ff @(posedge clk)
        if (rst) filled <= '0;
        else if (m_valid) filled <= m_ready ? '0 : filled;
        else if (next_valid) filled <= filled + 1'b1;

    logic [8*B_OUT-1:0] result;
    logic [L_OUT-1:0] left;
    logic sender_ready;
    assign s_ready = left == '0;
    ext_uart_send #(.CLOCKS(CLOCKS)) sender (
        .clk, .rst, .data(result[7:0]), .valid(!s_ready), .ready(sender_ready), .line(send));
    always_ff @(posedge clk)
        if (s_ready) result <= (8*B_OUT)'(s_data);
        else if (sender_ready) result <= result >> 8;
    always_ff @(posedge clk)
        if (rst) left <= '0;
        else if (s_ready) left <= s_valid ? L_OUT'(B_OUT) : '0;
        else if (sender_ready) left <= left - 1'b1;
    wire unused = ^moved[7:0];
endmodule
