#ifndef NNET_WINDOW_EXT_H_
#define NNET_WINDOW_EXT_H_

// The sliding window that convolution and pooling share, as a process in front of theirs. A pixel of n_chan channels comes as
// `groups` beats; for each output pixel go out, group by group, all taps of its window in raster order.
//
// Pixels are numbered linearly, pos = row * in_width + col. The window of the output (row, col) is complete with the pixel
//
//     (row * stride_height + filt_height - 1 - pad_top) * in_width + col * stride_width + filt_width - 1 - pad_left
//
// and simply runs on over the end of a row: no idle cycle between rows; taps outside the image are masked.
//
//   window_parallel  all taps of a group in a beat
//                    cycles   n_positions * groups (positions beyond the image only flush the window)
//                    storage  line: (filt_height - 1) rows, as in_width * groups words; columns: the filt_width - 1 columns
//                             before, as `groups` words; one read and one write a cycle
//   window_serial    a tap a beat
//                    cycles   for an output pixel n_taps * groups, or the beats that have to come before the next, if these
//                             are more; the first window
//                    storage  rows: a ring of filt_height + stride_height rows; one read and one write a cycle
//   window_subsample a 1x1 window: drops pixels
//                    cycles   one for each beat of the input; no storage
//
// No multipliers.

#include "nnet_ext.h"

namespace nnet {
namespace ext {

template <typename CONFIG_T> struct sliding_window {
    static const int n_pixels = CONFIG_T::in_height * CONFIG_T::in_width;
    static const int n_outputs = CONFIG_T::out_height * CONFIG_T::out_width;
    static const int n_taps = CONFIG_T::filt_height * CONFIG_T::filt_width;
    static const int groups = CONFIG_T::n_chan / CONFIG_T::window_lanes;
    static const int n_beats = n_pixels * groups;
    static const int first_tap =
        (CONFIG_T::filt_height - 1 - CONFIG_T::pad_top) * CONFIG_T::in_width + CONFIG_T::filt_width - 1 - CONFIG_T::pad_left;
    static const int last_tap = ((CONFIG_T::out_height - 1) * CONFIG_T::stride_height) * CONFIG_T::in_width +
                                (CONFIG_T::out_width - 1) * CONFIG_T::stride_width + first_tap;
    // Positions until the last output is out and the last pixel is in.
    static const int n_positions = last_tap + 1 > n_pixels ? last_tap + 1 : n_pixels;
    // From the last output of a row to the first of the next.
    static const int row_step =
        CONFIG_T::stride_height * CONFIG_T::in_width - (CONFIG_T::out_width - 1) * CONFIG_T::stride_width;
    static const bool padded =
        CONFIG_T::pad_top > 0 || CONFIG_T::pad_left > 0 ||
        (CONFIG_T::out_height - 1) * CONFIG_T::stride_height - CONFIG_T::pad_top + CONFIG_T::filt_height >
            CONFIG_T::in_height ||
        (CONFIG_T::out_width - 1) * CONFIG_T::stride_width - CONFIG_T::pad_left + CONFIG_T::filt_width > CONFIG_T::in_width;

    // Is tap (k, j) of the window of output (row, col) inside the image?
    static bool inside(int row, int col, int k, int j) {
        #pragma HLS INLINE
        const int y = row * CONFIG_T::stride_height - CONFIG_T::pad_top + k;
        const int x = col * CONFIG_T::stride_width - CONFIG_T::pad_left + j;
        return !padded || (y >= 0 && y < CONFIG_T::in_height && x >= 0 && x < CONFIG_T::in_width);
    }
};

// The output that comes next: its place, and the position of its window's last tap.
template <typename CONFIG_T> struct next_output {
    int row, col, tap;

    next_output() : row(0), col(0), tap(sliding_window<CONFIG_T>::first_tap) {}

    // Is its window complete, with the pixel at `pos`?
    bool ready(int pos) const {
        #pragma HLS INLINE
        return pos == tap && row < CONFIG_T::out_height;
    }

    void advance() {
        #pragma HLS INLINE
        const bool last_of_row = col == CONFIG_T::out_width - 1;
        tap += last_of_row ? sliding_window<CONFIG_T>::row_step : CONFIG_T::stride_width;
        row += last_of_row ? 1 : 0;
        col = last_of_row ? 0 : col + 1;
    }
};

template <class data_T, class res_T, typename CONFIG_T>
void window_parallel(hls::stream<data_T> &data, hls::stream<res_T> &res,
                     lane_t<data_T> line[CONFIG_T::in_width * sliding_window<CONFIG_T>::groups]
                                        [(CONFIG_T::filt_height - 1) * CONFIG_T::window_lanes],
                     lane_t<data_T> columns[sliding_window<CONFIG_T>::groups]
                                           [CONFIG_T::filt_height * (CONFIG_T::filt_width - 1) * CONFIG_T::window_lanes]) {
    typedef sliding_window<CONFIG_T> slide;
    typedef lane_t<data_T> x_T;
    const int lanes = CONFIG_T::window_lanes;
    const int before = CONFIG_T::filt_width - 1;
    // A word is written where it was read; the next access to it is a row, or a pixel, later.
    const int line_distance = CONFIG_T::in_width * slide::groups;
    const int column_distance = slide::groups;
    #pragma HLS DEPENDENCE variable=line inter RAW distance=line_distance true
    #pragma HLS DEPENDENCE variable=columns inter RAW distance=column_distance true
    (void)line_distance; // only pragmas use them
    (void)column_distance;

    int pos = 0, group = 0, address = 0; // the beat that enters; its word of the line buffer
    next_output<CONFIG_T> output;

window_positions:
    for (int t = 0; t < slide::n_positions * slide::groups; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        x_T window[CONFIG_T::filt_height][CONFIG_T::filt_width][lanes];
        #pragma HLS ARRAY_PARTITION variable=window complete dim=0
        data_T beat;
        if (pos < slide::n_pixels)
            beat = data.read();
        for (int k = 0; k < CONFIG_T::filt_height; k++) {
            #pragma HLS UNROLL
            for (int c = 0; c < lanes; c++) {
                #pragma HLS UNROLL
                for (int j = 0; j < before; j++) {
                    #pragma HLS UNROLL
                    window[k][j][c] = columns[group][(k * before + j) * lanes + c];
                }
                // Row k of the window is row k of the line buffer, except the last, which is the pixel that enters.
                window[k][before][c] = k < CONFIG_T::filt_height - 1 ? line[address][k * lanes + c] : x_T(lane_of(beat, c));
            }
        }
        for (int k = 0; k < CONFIG_T::filt_height; k++) {
            #pragma HLS UNROLL
            for (int c = 0; c < lanes; c++) {
                #pragma HLS UNROLL
                if (k > 0)
                    line[address][(k - 1) * lanes + c] = window[k][before][c];
                for (int j = 0; j < before; j++) {
                    #pragma HLS UNROLL
                    columns[group][(k * before + j) * lanes + c] = window[k][j + 1][c];
                }
            }
        }
        if (output.ready(pos)) {
            res_T taps;
            for (int k = 0; k < CONFIG_T::filt_height; k++) {
                #pragma HLS UNROLL
                for (int j = 0; j < CONFIG_T::filt_width; j++) {
                    #pragma HLS UNROLL
                    const bool inside = slide::inside(output.row, output.col, k, j);
                    for (int c = 0; c < lanes; c++) {
                        #pragma HLS UNROLL
                        taps[(k * CONFIG_T::filt_width + j) * lanes + c] = inside ? window[k][j][c] : x_T(CONFIG_T::border);
                    }
                }
            }
            res.write(taps);
            if (group == slide::groups - 1)
                output.advance();
        }
        if (group == slide::groups - 1)
            pos++;
        group = group == slide::groups - 1 ? 0 : group + 1;
        address = address == CONFIG_T::in_width * slide::groups - 1 ? 0 : address + 1;
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void window_serial(hls::stream<data_T> &data, hls::stream<res_T> &res,
                   lane_t<data_T> rows[CONFIG_T::ring_rows * CONFIG_T::in_width * sliding_window<CONFIG_T>::groups]
                                      [CONFIG_T::window_lanes]) {
    typedef sliding_window<CONFIG_T> slide;
    const int lanes = CONFIG_T::window_lanes;
    const int per_pixel = slide::n_taps * slide::groups; // cycles
    const int row_words = CONFIG_T::in_width * slide::groups;
    const int ring_words = CONFIG_T::ring_rows * row_words;
    // The last tap of a window is the pixel that completes it, and no later one; it was written before the first was read.
    const int distance = slide::n_taps;
    #pragma HLS DEPENDENCE variable=rows inter RAW distance=distance true
    (void)distance; // only the pragma uses it

    int n_read = 0, write_address = 0; // beats that have come; the word where the next one goes
    // While the taps of one output go out, the beats come that complete the window of the next: up to its last pixel inside
    // of the image, in column `last_col`; `rows_needed` beats are in the rows before that.
    const int first_last_col = CONFIG_T::filt_width - 1 - CONFIG_T::pad_left;
    int rows_needed = (CONFIG_T::filt_height - 1 - CONFIG_T::pad_top) * row_words, last_col = first_last_col;
    int to_read = min_of(rows_needed + (min_of(last_col, CONFIG_T::in_width - 1) + 1) * slide::groups, slide::n_beats);
    int to_write = 0;
    int room = 0;                // beats that the ring can take meanwhile
    int row = -1, col = 0;       // the output
    int slot = 0;                // the first row of its window in the ring
    int group = 0, k = 0, j = 0; // the tap

window_taps:
    for (int t = 0; t < CONFIG_T::window_cycles; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        if (to_write > 0) {
            const int x = col * CONFIG_T::stride_width - CONFIG_T::pad_left + j;
            const bool inside = slide::inside(row, col, k, j);
            const int wrapped = slot + k >= CONFIG_T::ring_rows ? slot + k - CONFIG_T::ring_rows : slot + k;
            // A ring that holds the whole image may have fewer rows than the window: more than one turn.
            const int ring_row =
                CONFIG_T::ring_rows == CONFIG_T::in_height ? row * CONFIG_T::stride_height - CONFIG_T::pad_top + k : wrapped;
            const int address = inside ? ring_row * row_words + x * slide::groups + group : 0;
            res_T tap;
            for (int c = 0; c < lanes; c++) {
                #pragma HLS UNROLL
                tap[c] = inside ? rows[address][c] : lane_t<data_T>(CONFIG_T::border);
            }
            res.write(tap);
            const bool last_column = j == CONFIG_T::filt_width - 1;
            const bool last_tap = last_column && k == CONFIG_T::filt_height - 1;
            j = last_column ? 0 : j + 1;
            k = last_tap ? 0 : (last_column ? k + 1 : k);
            group = last_tap ? (group == slide::groups - 1 ? 0 : group + 1) : group;
            to_write--;
        }
        if (to_read > 0) {
            const data_T beat = data.read();
            for (int c = 0; c < lanes; c++) {
                #pragma HLS UNROLL
                rows[write_address][c] = lane_of(beat, c);
            }
            write_address = write_address == ring_words - 1 ? 0 : write_address + 1;
            n_read++;
            to_read--;
        }
        if (to_read == 0 && to_write == 0) { // the next output
            const bool first = row < 0;
            const bool new_row = first || col == CONFIG_T::out_width - 1;
            if (first) {
                slot = (CONFIG_T::ring_rows - CONFIG_T::pad_top) % CONFIG_T::ring_rows;
                room = ring_words;
            } else if (new_row) {
                const int next_slot = slot + CONFIG_T::stride_height % CONFIG_T::ring_rows;
                slot = next_slot >= CONFIG_T::ring_rows ? next_slot - CONFIG_T::ring_rows : next_slot;
                const int top = (row + 1) * CONFIG_T::stride_height - CONFIG_T::pad_top;
                room = (max_of(top, 0) + CONFIG_T::ring_rows) * row_words;
            }
            row += new_row ? 1 : 0;
            col = new_row ? 0 : col + 1;
            const bool last_of_row = col == CONFIG_T::out_width - 1;
            const bool last = last_of_row && row == CONFIG_T::out_height - 1;
            rows_needed += last_of_row ? CONFIG_T::stride_height * row_words : 0;
            last_col = last_of_row ? first_last_col : last_col + CONFIG_T::stride_width;
            const int needed = rows_needed + (min_of(last_col, CONFIG_T::in_width - 1) + 1) * slide::groups;
            const int must = (last ? slide::n_beats : min_of(needed, slide::n_beats)) - n_read;
            const int may = CONFIG_T::eager ? min_of(per_pixel, min_of(room, slide::n_beats) - n_read) : 0;
            to_read = max_of(must, max_of(may, 0));
            to_write = row < CONFIG_T::out_height ? per_pixel : 0;
        }
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void window_subsample(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    typedef sliding_window<CONFIG_T> slide;
    int pos = 0, group = 0;
    next_output<CONFIG_T> output;

window_pixels:
    for (int t = 0; t < slide::n_beats; t++) {
        #pragma HLS PIPELINE II=1 style=flp
        const data_T beat = data.read();
        const bool last_group = group == slide::groups - 1;
        if (output.ready(pos)) {
            res_T tap;
            for (int c = 0; c < CONFIG_T::window_lanes; c++) {
                #pragma HLS UNROLL
                tap[c] = lane_of(beat, c);
            }
            res.write(tap);
            if (last_group)
                output.advance();
        }
        pos += last_group ? 1 : 0;
        group = last_group ? 0 : group + 1;
    }
}

} // namespace ext
} // namespace nnet

#endif
