// FIFO with a registered output.
//
//   parameters  WIDTH  bits of a word
//               DEPTH  words that it holds at least; at least 2
//               STYLE  ram_style of the memory: "auto", "distributed", "block", "ultra"
//   cycles      one word in and one word out a cycle
//   latency     2 cycles
//   storage     max(DEPTH - 1, 2) words of memory and a register
module ext_fifo #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 2,
    parameter STYLE = "auto"
) (
    input  logic             clk,
    input  logic             rst,
    input  logic [WIDTH-1:0] s_data,
    input  logic             s_valid,
    output logic             s_ready,
    output logic [WIDTH-1:0] m_data,
    output logic             m_valid,
    input  logic             m_ready
);
    localparam int WORDS = DEPTH > 3 ? DEPTH - 1 : 2;
    localparam int A = $clog2(WORDS);
    localparam int L = $clog2(WORDS + 1);
    localparam logic [A-1:0] LAST = A'(WORDS - 1);
    if (WIDTH < 1 || DEPTH < 2) $error("ext_fifo: WIDTH %0d, DEPTH %0d", WIDTH, DEPTH);

    (* ram_style = STYLE *) logic [WIDTH-1:0] mem [0:WORDS-1];
    logic [A-1:0] write_at, read_at;
    logic [L-1:0] level; // words in the memory

    wire push = s_valid && s_ready;
    wire load = level != '0 && (!m_valid || m_ready);
    assign s_ready = level != L'(WORDS);

    always_ff @(posedge clk) begin
        if (push) mem[write_at] <= s_data;
        if (load) m_data <= mem[read_at];
    end
    always_ff @(posedge clk)
        if (rst) begin
            write_at <= '0;
            read_at <= '0;
            level <= '0;
            m_valid <= 1'b0;
        end else begin
            if (push) write_at <= write_at == LAST ? '0 : write_at + 1'b1;
            if (load) read_at <= read_at == LAST ? '0 : read_at + 1'b1;
            level <= level + L'(push) - L'(load);
            if (load) m_valid <= 1'b1;
            else if (m_ready) m_valid <= 1'b0;
        end
endmodule
