// Bytes from a serial line: 8 data bits, no parity, 1 stop bit.
//
//   parameters  CLOCKS  of the clock in a bit; at least 4
//   cycles      10 * CLOCKS a byte
//   latency     the middle of the stop bit
//   storage     a byte
//
// A byte is valid for one cycle: the line waits for nobody.
module ext_uart_receive #(
    parameter int CLOCKS = 868
) (
    input  logic       clk,
    input  logic       rst,
    input  logic       line,
    output logic [7:0] data,
    output logic       valid
);
    localparam int L = $clog2(CLOCKS + 1);
    if (CLOCKS < 4) $error("ext_uart_receive: CLOCKS %0d", CLOCKS);

    logic [2:0] sampled; // two registers against metastability, and the one before
    logic [L-1:0] left;  // cycles until the next sample
    logic [3:0] bits;    // that are still to come
    wire sample = bits != '0 && left == '0;
    always_ff @(posedge clk)
        if (rst) begin
            sampled <= '1;
            left <= '0;
            bits <= '0;
            valid <= 1'b0;
        end else begin
            sampled <= {sampled[1:0], line};
            valid <= sample && bits == 4'd1 && sampled[1];
            if (bits == '0) begin
                left <= L'(CLOCKS / 2 - 1);
                if (sampled[2] && !sampled[1]) bits <= 4'd10;
            end else begin
                left <= left == '0 ? L'(CLOCKS - 1) : left - 1'b1;
                if (sample) bits <= bits == 4'd10 && sampled[1] ? '0 : bits - 1'b1; // a start bit that doesn't last is none
            end
        end
    always_ff @(posedge clk) if (sample && bits != 4'd1) data <= {sampled[1], data[7:1]};
endmodule
