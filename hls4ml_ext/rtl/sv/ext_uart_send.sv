// Bytes to a serial line: 8 data bits, no parity, 1 stop bit.
//
//   parameters  CLOCKS  of the clock in a bit; at least 2
//   cycles      10 * CLOCKS a byte
//   latency     1 cycle to the start bit
//   storage     a byte
module ext_uart_send #(
    parameter int CLOCKS = 868
) (
    input  logic       clk,
    input  logic       rst,
    input  logic [7:0] data,
    input  logic       valid,
    output logic       ready,
    output logic       line
);
    localparam int L = $clog2(CLOCKS + 1);
    if (CLOCKS < 2) $error("ext_uart_send: CLOCKS %0d", CLOCKS);

    logic [8:0] bits;  // the next ones, the lowest first
    logic [3:0] count; // of them, with the one on the line
    logic [L-1:0] left;
    assign ready = count == '0;
    always_ff @(posedge clk)
        if (rst) begin
            line <= 1'b1;
            bits <= '1;
            count <= '0;
            left <= '0;
        end else if (ready) begin
            left <= L'(CLOCKS - 1);
            if (valid) begin
                line <= 1'b0;
                bits <= {1'b1, data};
                count <= 4'd10;
            end
        end else if (left == '0) begin
            left <= L'(CLOCKS - 1);
            count <= count - 1'b1;
            line <= bits[0];
            bits <= {1'b1, bits[8:1]};
        end else left <= left - 1'b1;
endmodule
