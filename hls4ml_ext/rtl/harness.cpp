// Runs a Verilator model of a top: gives it the beats of its inputs, takes those of its outputs, and watches streams inside.
//
// ports.inc, written for each top, lists streams: EXT_INPUTS, EXT_OUTPUTS and EXT_PROBES with the name of each.

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "ports.inc"

namespace {

struct Stream {
    uint8_t *data;
    CData *valid, *ready;
    size_t bytes;
};

// What comes in and goes out of a run; one for each stream.
struct Beats {
    uint8_t *data;  // all beats, one behind the other
    int64_t *times; // cycle of each, or null
    int64_t count;  // how many there are, or are wanted
    int64_t done;   // how many have moved
};

// What an engine does in a cycle, as its streams show it.
struct Engine {
    const int32_t *inputs, *outputs;
    int32_t n_inputs, n_outputs;

    // Adds a cycle to beats taken and given, and cycles busy, starved and stalled: of the run, and of a part of it.
    void count(const std::vector<Stream> &streams, int64_t *counts, int64_t *bin) const {
        bool takes = false, offered = false, waits = false;
        for (int32_t i = 0; i < n_inputs; i++) {
            const Stream &s = streams[inputs[i]];
            takes |= *s.valid && *s.ready;
            offered |= *s.valid;
        }
        // An engine of several inputs takes their beats together, and says that it is ready when all are there.
        bool wants = n_inputs > 1 && !offered;
        for (int32_t i = 0; i < n_inputs; i++)
            wants |= *streams[inputs[i]].ready && !*streams[inputs[i]].valid;
        for (int32_t i = 0; i < n_outputs; i++) {
            const Stream &s = streams[outputs[i]];
            waits |= *s.valid && !*s.ready;
        }
        const bool gives = *streams[outputs[0]].valid && *streams[outputs[0]].ready;
        for (int64_t *to : {counts, bin}) {
            to[0] += takes;
            to[1] += gives;
            to[takes ? 2 : waits ? 4 : wants ? 3 : 2]++;
        }
    }
};

// The counts of parts of a run, as many cycles each as let them fit: when all are used, each two become one of twice the cycles.
struct Timeline {
    int64_t *counts; // bins one behind the other, `size` numbers each
    int64_t bins, size, cycles = 1;

    int64_t *bin(int64_t cycle) {
        if (cycle / cycles >= bins) {
            for (int64_t i = 0; i < bins / 2; i++)
                for (int64_t j = 0; j < size; j++)
                    counts[i * size + j] = counts[2 * i * size + j] + counts[(2 * i + 1) * size + j];
            std::fill(counts + bins / 2 * size, counts + bins * size, 0);
            cycles *= 2;
        }
        return counts + cycle / cycles * size;
    }
    void clear() {
        std::fill(counts, counts + bins * size, 0);
        cycles = 1;
    }
};

struct Random { // xorshift64
    uint64_t state;
    bool percent(uint32_t p) {
        if (p >= 100)
            return true;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return uint32_t(state >> 32) % 100 < p;
    }
};

} // namespace

extern "C" {

// Runs until all wanted outputs are there and all inputs are taken; returns the number of cycles, or -1 if none of them moves
// for `patience` cycles.
//
// percent_in, percent_out: how often a beat is offered and taken. reset_after: beats of the first output after which everything
// is reset and begins again, or -1.
// engines: for each of n_engines the numbers of its inputs and outputs, and then which streams these are, counted over inputs,
// outputs and probes; counts: for each of them beats taken from any input and given, and cycles busy, starved and stalled.
// bins, an even number: parts of the run for which binned has the same counts, and *bin_cycles the cycles of each.
int64_t ext_run(Beats *inputs, Beats *outputs, Beats *probes, int64_t patience, uint64_t seed, uint32_t percent_in,
                uint32_t percent_out, int64_t reset_after, int32_t n_engines, const int32_t *engines, int64_t *counts,
                int64_t bins, int64_t *binned, int64_t *bin_cycles) {
    const std::unique_ptr<VerilatedContext> context{new VerilatedContext};
    const std::unique_ptr<Vtop> top{new Vtop{context.get()}};
    std::vector<Stream> in, out, probed;
#define EXT_PORT(name) {(uint8_t *)&top->name##_tdata, &top->name##_tvalid, &top->name##_tready, sizeof(top->name##_tdata)}
#define EXT_PORT_IN(name) in.push_back(Stream EXT_PORT(name));
#define EXT_PORT_OUT(name) out.push_back(Stream EXT_PORT(name));
#define EXT_PROBE(name)                                                                                                     \
    probed.push_back(Stream{(uint8_t *)&top->rootp->name##_data, &top->rootp->name##_valid, &top->rootp->name##_ready,      \
                            sizeof(top->rootp->name##_data)});
    EXT_INPUTS(EXT_PORT_IN)
    EXT_OUTPUTS(EXT_PORT_OUT)
    EXT_PROBES(EXT_PROBE)
    std::vector<Stream> streams(in);
    streams.insert(streams.end(), out.begin(), out.end());
    streams.insert(streams.end(), probed.begin(), probed.end());
    std::vector<Engine> counted;
    for (int32_t i = 0; i < n_engines; i++) {
        counted.push_back(Engine{engines + 2, engines + 2 + engines[0], engines[0], engines[1]});
        engines += 2 + engines[0] + engines[1];
    }
    Timeline timeline{binned, bins, 5 * n_engines};

    Random random{88172645463325252ull + 7919 * seed};
    const auto reset = [&] {
        top->rst = 1;
        for (Stream &s : in)
            *s.valid = 0;
        for (Stream &s : out)
            *s.ready = 0;
        for (int i = 0; i < 4; i++) {
            top->clk = 1;
            top->eval();
            top->clk = 0;
            top->eval();
        }
        top->rst = 0;
        for (size_t i = 0; i < in.size(); i++)
            inputs[i].done = 0;
        for (size_t i = 0; i < out.size(); i++)
            outputs[i].done = 0;
        for (size_t i = 0; i < probed.size(); i++)
            probes[i].done = 0;
        for (size_t i = 0; i < 5 * counted.size(); i++)
            counts[i] = 0;
        timeline.clear();
    };
    reset();
    std::vector<char> taken(in.size());
    int64_t cycle = 0, idle = 0;
    while (true) {
        bool busy = false;
        for (size_t i = 0; i < in.size(); i++) {
            Beats &b = inputs[i];
            if (!*in[i].valid && b.done < b.count && random.percent(percent_in)) {
                memcpy(in[i].data, b.data + b.done * in[i].bytes, in[i].bytes);
                *in[i].valid = 1;
            }
            busy |= b.done < b.count;
        }
        for (size_t i = 0; i < out.size(); i++) {
            *out[i].ready = random.percent(percent_out);
            busy |= outputs[i].done < outputs[i].count;
        }
        if (!busy) {
            *bin_cycles = timeline.cycles;
            return cycle;
        }
        top->eval();
        bool moved = false;
        int64_t *const bin = timeline.bin(cycle);
        for (size_t i = 0; i < counted.size(); i++)
            counted[i].count(streams, counts + 5 * i, bin + 5 * i);
        for (size_t i = 0; i < probed.size(); i++) {
            Beats &b = probes[i];
            if (*probed[i].valid && *probed[i].ready) {
                if (b.done < b.count) {
                    memcpy(b.data + b.done * probed[i].bytes, probed[i].data, probed[i].bytes);
                    if (b.times)
                        b.times[b.done] = cycle;
                }
                b.done++;
            }
        }
        for (size_t i = 0; i < in.size(); i++) {
            Beats &b = inputs[i];
            taken[i] = *in[i].valid && *in[i].ready;
            if (taken[i]) {
                if (b.times)
                    b.times[b.done] = cycle;
                b.done++;
                moved = true;
            }
        }
        for (size_t i = 0; i < out.size(); i++) {
            Beats &b = outputs[i];
            if (*out[i].valid && *out[i].ready) {
                if (b.done < b.count) {
                    memcpy(b.data + b.done * out[i].bytes, out[i].data, out[i].bytes);
                    if (b.times)
                        b.times[b.done] = cycle;
                }
                b.done++;
                moved = true;
            }
        }
        top->clk = 1;
        top->eval(); // inputs stay as they are over the edge
        top->clk = 0;
        for (size_t i = 0; i < in.size(); i++)
            if (taken[i])
                *in[i].valid = 0;
        cycle++;
        idle = moved ? 0 : idle + 1;
        if (idle > patience)
            return -1;
        if (reset_after >= 0 && outputs[0].done >= reset_after) {
            reset_after = -1;
            reset();
            cycle = idle = 0;
        }
    }
}
}
