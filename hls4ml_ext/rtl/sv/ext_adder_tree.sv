// The sum of N signed numbers of W bits, one bit more on each level, with registers after every second level and the last.
//
//   parameters  N  numbers
//               W  bits of each
//   cycles      one sum a cycle
//   latency     ceil(ceil(log2 N) / 2) cycles
//   storage     the sums of every second level, in registers
module ext_adder_tree #(
    parameter int N = 8,
    parameter int W = 12,
    localparam int LEVELS = N < 2 ? 0 : $clog2(N)
) (
    input  logic                       clk,
    input  logic [N*W-1:0]             x,
    output logic signed [W+LEVELS-1:0] sum
);
    if (N < 1 || W < 1) $error("ext_adder_tree: N %0d, W %0d", N, W);

    for (genvar l = 0; l <= LEVELS; l++) begin : level
        localparam int M = (N + (1 << l) - 1) >> l; // numbers on this level
        localparam int V = W + l;                   // bits of each
        logic [M*V-1:0] s;
        if (l == 0) begin : leaves
            assign s = x;
        end else begin : nodes
            localparam int M_ABOVE = (N + (1 << (l - 1)) - 1) >> (l - 1);
            logic [M*V-1:0] t;
            for (genvar i = 0; i < M; i++) begin : add
                wire signed [V-2:0] a = level[l-1].s[2*i*(V-1) +: V-1];
                if (2*i + 1 < M_ABOVE) begin : two
                    wire signed [V-2:0] b = level[l-1].s[(2*i+1)*(V-1) +: V-1];
                    assign t[i*V +: V] = V'(a) + V'(b);
                end else begin : one
                    assign t[i*V +: V] = V'(a);
                end
            end
            if (l % 2 == 0 || l == LEVELS) begin : registers
                always_ff @(posedge clk) s <= t;
            end else begin : wires
                assign s = t;
            end
        end
    end
    assign sum = level[LEVELS].s;
    if (LEVELS == 0) begin : no_clock
        wire unused = clk;
    end
endmodule
