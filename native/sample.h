// Small random networks and a naive reference for them, used by the programs that test the engine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "stream.h"

namespace drrn {

struct Sample {
    std::size_t channels, unshuffle, width;
    bool global_residual;
    std::vector<std::vector<float>> arrays;  // what the plans point into
    std::vector<Plan> plans;

    // Blocks of units as in `drrn.engines.layers`. skip: 0 none, 1 source, 2 chain, 3 rectified.
    Sample(std::uint32_t seed, std::size_t channels, std::size_t unshuffle, std::size_t width, int blocks, int units,
           int skip, bool global_residual, bool replicates)
        : channels(channels), unshuffle(unshuffle), width(width), global_residual(global_residual), random_(seed) {
        const std::size_t outside = channels * unshuffle * unshuffle;
        for (int block = 0; block < blocks; ++block) {
            const Keeps kept = skip == 3 ? Keeps::rectified : Keeps::result;
            add(block ? width : outside, width, false, skip && units ? kept : Keeps::nothing);
            const float* first = nullptr;
            const float* second = nullptr;
            for (int unit = 0; unit < units; ++unit) {
                add(width, width, false, Keeps::nothing, first);
                first = plans.back().kernel;
                add(width, width, skip != 0, skip == 2 && unit + 1 < units ? Keeps::result : Keeps::nothing, second);
                second = plans.back().kernel;
            }
        }
        add(width, outside, false, Keeps::nothing);
        plans.front().replicates = replicates;
    }

    std::vector<float> noise(std::size_t count) {
        std::uniform_real_distribution<float> chance(0.f, 1.f);
        std::vector<float> values(count);
        for (float& value : values) value = chance(random_);
        return values;
    }

    // The network on an image of height x columns pixels, naively and in double precision.
    std::vector<double> exactly(const std::vector<float>& ilr, std::size_t height, std::size_t columns) const {
        const std::size_t u = unshuffle, down = (height + u - 1) / u, across = (columns + u - 1) / u;
        std::vector<double> x(plans[0].in * down * across), kept;
        for (std::size_t c = 0; c < channels; ++c)
            for (std::size_t i = 0; i < down * u; ++i)
                for (std::size_t j = 0; j < across * u; ++j)
                    x[(((c * u + i % u) * u + j % u) * down + i / u) * across + j / u] =
                        ilr[(c * height + std::min(i, height - 1)) * columns + std::min(j, columns - 1)];
        for (const Plan& plan : plans) {
            std::vector<double> y(plan.out * down * across);
            for (std::size_t i = 0; i < x.size(); ++i) {
                const std::size_t c = i / (down * across);
                x[i] = std::max(0., plan.scale[c] * x[i] + double{plan.shift[c]});
            }
            for (std::size_t o = 0; o < plan.out; ++o)
                for (std::size_t i = 0; i < down; ++i)
                    for (std::size_t j = 0; j < across; ++j) {
                        double sum = plan.bias[o];
                        for (std::size_t c = 0; c < plan.in; ++c)
                            for (std::size_t k = 0; k < 9; ++k) {
                                std::size_t row = i + k / 3, column = j + k % 3;  // one too far down and right
                                if (plan.replicates) {
                                    row = std::clamp<std::size_t>(row, 1, down);
                                    column = std::clamp<std::size_t>(column, 1, across);
                                }
                                if (row < 1 || row > down || column < 1 || column > across) continue;
                                sum += double{plan.kernel[(o * plan.in + c) * 9 + k]} *
                                       x[(c * down + row - 1) * across + column - 1];
                            }
                        y[(o * down + i) * across + j] = sum;
                    }
            for (std::size_t i = 0; plan.adds && i < y.size(); ++i) y[i] += kept[i];
            if (plan.keeps != Keeps::nothing) kept = y;
            for (std::size_t i = 0; plan.keeps == Keeps::rectified && i < y.size(); ++i) kept[i] = std::max(0., y[i]);
            x = y;
        }
        std::vector<double> sr(channels * height * columns);
        for (std::size_t c = 0; c < channels; ++c)
            for (std::size_t i = 0; i < height; ++i)
                for (std::size_t j = 0; j < columns; ++j) {
                    const std::size_t at = (c * height + i) * columns + j;
                    sr[at] = x[(((c * u + i % u) * u + j % u) * down + i / u) * across + j / u] +
                             (global_residual ? ilr[at] : 0.f);
                }
        return sr;
    }

    // The engine on the same image, in bands of `band` rows.
    std::vector<float> streamed(const std::vector<float>& ilr, std::size_t height, std::size_t columns,
                                std::size_t threads, const std::string& kernels, std::size_t band,
                                std::size_t piece_bytes) const {
        auto network =
            std::make_shared<Network>(plans, channels, unshuffle, global_residual, threads, kernels, piece_bytes);
        Stream stream(network, columns);
        std::vector<float> sr(channels * height * columns);
        std::size_t given = 0;
        for (std::size_t top = 0; top < height; top += band) {
            const std::size_t count = std::min(band, height - top), ready = stream.ready(count);
            stream.push(ilr.data() + top * columns, count, height * columns, sr.data() + given * columns,
                        height * columns, {});
            given += ready;
        }
        stream.finish(sr.data() + given * columns, height * columns, {});
        return sr;
    }

   private:
    const float* values(std::size_t count, float middle, float spread) {
        std::normal_distribution<float> chance(middle, spread);
        arrays.emplace_back(count);
        for (float& value : arrays.back()) value = chance(random_);
        return arrays.back().data();
    }

    void add(std::size_t in, std::size_t out, bool adds, Keeps keeps, const float* kernel = nullptr) {
        Plan plan;
        plan.in = in, plan.out = out, plan.adds = adds, plan.keeps = keeps;
        plan.scale = values(in, 1.f, 0.2f), plan.shift = values(in, 0.f, 0.1f), plan.bias = values(out, 0.f, 0.1f);
        plan.kernel = kernel ? kernel : values(in * out * 9, 0.f, 0.5f * std::sqrt(2.f / (9.f * static_cast<float>(in))));
        plans.push_back(plan);
    }

    std::mt19937 random_;
};

}  // namespace drrn
