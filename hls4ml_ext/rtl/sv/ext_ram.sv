// A memory with one write and one read a cycle, at different addresses, and an output register.
//
//   parameters  WIDTH  bits of a word
//               DEPTH  words
//               STYLE  ram_style: "auto", "distributed", "block", "ultra"
//   cycles      one read and one write a cycle
//   latency     2 cycles from the address to the word
//   storage     DEPTH words, and the two registers behind them
module ext_ram #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 16,
    parameter STYLE = "auto",
    localparam int A = DEPTH < 2 ? 1 : $clog2(DEPTH)
) (
    input  logic             clk,
    input  logic             write,
    input  logic [A-1:0]     write_at,
    input  logic [WIDTH-1:0] write_data,
    input  logic [A-1:0]     read_at,
    output logic [WIDTH-1:0] read_data
);
    if (WIDTH < 1 || DEPTH < 1) $error("ext_ram: WIDTH %0d, DEPTH %0d", WIDTH, DEPTH);

    (* ram_style = STYLE *) logic [WIDTH-1:0] mem [0:DEPTH-1];
    logic [WIDTH-1:0] word;
    always_ff @(posedge clk) begin
        if (write) mem[write_at] <= write_data;
        word <= mem[read_at];
        read_data <= word;
    end
endmodule
