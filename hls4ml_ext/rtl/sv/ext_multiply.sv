// The product of two numbers, registered.
//
//   parameters  W_X, X_SIGNED  bits of x, and whether it is two's complement
//               W_W, W_SIGNED  of w
//               IMPL           "lut": radix-4 Booth rows, of the digits of w; "dsp": left to the tool, which takes a DSP
//   cycles      one product a cycle
//   latency     1 cycle
//   storage     the product
//
// In simulation a product is `*`; SYNTHESIS, or EXT_BOOTH for a test, makes the rows.
module ext_multiply #(
    parameter int W_X = 8,
    parameter bit X_SIGNED = 1,
    parameter int W_W = 4,
    parameter bit W_SIGNED = 1,
    parameter IMPL = "lut",
    localparam int XS = W_X + (X_SIGNED ? 0 : 1), // as signed numbers
    localparam int WS = W_W + (W_SIGNED ? 0 : 1)
) (
    input  logic                    clk,
    input  logic [W_X-1:0]          x,
    input  logic [W_W-1:0]          w,
    output logic signed [XS+WS-1:0] y
);
    if (W_X < 1 || W_W < 1) $error("ext_multiply: W_X %0d, W_W %0d", W_X, W_W);

    wire signed [XS-1:0] xs;
    wire signed [WS-1:0] ws;
    if (X_SIGNED) begin : x_signed
        assign xs = x;
    end else begin : x_unsigned
        assign xs = {1'b0, x};
    end
    if (W_SIGNED) begin : w_signed
        assign ws = w;
    end else begin : w_unsigned
        assign ws = {1'b0, w};
    end

`ifdef SYNTHESIS
    localparam bit BOOTH = IMPL == "lut";
`elsif EXT_BOOTH
    localparam bit BOOTH = IMPL == "lut";
`else
    localparam bit BOOTH = 0;
`endif
    if (BOOTH && WS > 1) begin : booth
        localparam int D = (WS + 1) / 2; // digits
        localparam int P = XS + WS;
        wire [2*D:0] bits = {(2*D-WS+1)'($signed(ws[WS-1:WS-1])), ws[WS-2:0], 1'b0};
        logic signed [D*P-1:0] sums;
        for (genvar d = 0; d < D; d++) begin : digit
            wire neg = bits[2*d+2];
            wire one = bits[2*d+1] ^ bits[2*d];
            wire two = (neg && !bits[2*d+1] && !bits[2*d]) || (!neg && bits[2*d+1] && bits[2*d]);
            wire signed [XS:0] x1 = (XS+1)'(xs);
            wire signed [XS:0] x2 = {xs, 1'b0};
            wire signed [XS:0] row = (one ? x1 : two ? x2 : '0) ^ {(XS+1){neg}};
            wire signed [P-1:0] shifted = (P'(row) <<< (2*d)) + (P'({1'b0, neg}) <<< (2*d));
            if (d == 0) begin : first
                assign sums[0 +: P] = shifted;
            end else begin : next
                assign sums[d*P +: P] = sums[(d-1)*P +: P] + shifted;
            end
        end
        always_ff @(posedge clk) y <= sums[(D-1)*P +: P];
    end else begin : plain
        always_ff @(posedge clk) y <= xs * ws;
    end
endmodule
