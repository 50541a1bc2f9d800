// 1/sqrt(v) of an integer from 1 to 2^30 - 1, with 26 fractional bits. v * 4^s has its leading one at bit 28 or 29; the ten bits
// from there on address a table of 1/sqrt of a number from 1 to 4, whose word is shifted left by s.
//
//   parameters  TABLE        file of 768 words of 12 bits
//               TABLE_STYLE  of the memory
//   cycles      one number a cycle
//   latency     5 cycles: two for the leading one, two for the table, one for the shift
//   storage     the table
module ext_rsqrt #(
    parameter TABLE = "",
    parameter TABLE_STYLE = "auto"
) (
    input  logic        clk,
    input  logic        rst,
    input  logic [29:0] v,
    output logic [25:0] scale
);
    // The leading one: pairs of zeros before it, eight and four of them at once, then two and one.
    wire eight = v[29:14] == '0;
    wire [29:0] by_eight = eight ? {v[13:0], 16'b0} : v;
    wire four = by_eight[29:22] == '0;
    logic [29:0] coarse;
    logic [1:0] coarse_shift;
    always_ff @(posedge clk) begin
        coarse <= four ? {by_eight[21:0], 8'b0} : by_eight;
        coarse_shift <= {eight, four};
    end
    wire two = coarse[29:26] == '0;
    wire [29:0] by_two = two ? {coarse[25:0], 4'b0} : coarse;
    wire one = by_two[29:28] == '0;
    logic [9:0] leading;
    logic [3:0] shift, word_shift;
    always_ff @(posedge clk) begin
        leading <= one ? by_two[27:18] : by_two[29:20];
        shift <= {coarse_shift, two, one};
    end

    logic [11:0] word;
    ext_rom #(.WIDTH(12), .DEPTH(768), .FILE(TABLE), .STYLE(TABLE_STYLE)) table_ (
        .clk, .read_at({leading[9:8] - 2'd1, leading[7:0]}), .read_data(word));
    ext_delay #(.WIDTH(4), .CYCLES(2)) delay (.clk, .rst, .d(shift), .q(word_shift));
    always_ff @(posedge clk) scale <= 26'(word) << word_shift;
    wire unused = ^by_two[17:0];
endmodule
