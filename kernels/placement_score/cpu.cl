/* Cheapest hosts of VMS virtual machines per work item, for OpenCL devices that are processors; README.md has the maths.
 * Vectors of 16 hosts, SPAN of them at a time: VMS * SPAN running minima fill the registers beside room and demand.
 */
#pragma OPENCL FP_CONTRACT OFF
#define VMS 8
#define SPAN 2
#define TOP_MAX 8
#define FORBIDDEN 3.0e38f
#define FAR 3.4e38f

/* Puts a host into a list that is sorted by cost; equals stay in the order of their coming. */
static inline void placement_insert(int* hosts, float* words, int top, int host, float probability, float headroom,
                                    float cost) {
    int at = top - 1;
    while (at > 0 && cost < words[3 * at - 1]) {
        hosts[at] = hosts[at - 1];
        words[3 * at] = words[3 * at - 3];
        words[3 * at + 1] = words[3 * at - 2];
        words[3 * at + 2] = words[3 * at - 1];
        at--;
    }
    hosts[at] = host;
    words[3 * at] = probability;
    words[3 * at + 1] = headroom;
    words[3 * at + 2] = cost;
}

/* Probability and headroom of a host for a machine without demand; `room` begins at the host. */
static inline void still(__global const float* room, int hosts, int paths, int path_cells, float* probability,
                         float* headroom) {
    float overloaded = 0.0f;
    float sum = 0.0f;
    for (int p = 0; p < paths; p++) {
        float worst = FAR;
        for (int c = 0; c < path_cells; c++) worst = fmin(worst, room[(p * path_cells + c) * hosts]);
        overloaded += worst < 0.0f ? 1.0f : 0.0f;
        sum += worst;
    }
    *probability = overloaded / (float)paths;
    *headroom = sum / (float)paths;
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void placement_score(
    __global const float* restrict demand, __global const float* restrict room, __global const float* restrict host,
    __global const float* restrict vm, __global const int* restrict allow, __global int* restrict best,
    __global float* restrict score, int vms, int hosts, int paths, int steps, int resources, int top, float risk_cost,
    float room_value) {
    const int first_vm = (int)get_global_id(0) * VMS;
    const int path_cells = steps * resources;
    const int cells = paths * path_cells;
    int list_host[VMS * TOP_MAX];
    float list_words[VMS * TOP_MAX * 3];
    for (int i = 0; i < VMS * TOP_MAX; i++) {
        list_host[i] = -1;
        list_words[3 * i] = 0.0f;
        list_words[3 * i + 1] = 0.0f;
        list_words[3 * i + 2] = FORBIDDEN;
    }
    __global const float* from[VMS]; /* the last machine stands in for those that do not exist */
    for (int v = 0; v < VMS; v++) from[v] = demand + min(first_vm + v, vms - 1) * cells;

    for (int first = 0; first < hosts; first += 16 * SPAN) {
        float16 overloaded[VMS][SPAN];
        float16 sum[VMS][SPAN];
#pragma unroll
        for (int v = 0; v < VMS; v++) {
#pragma unroll
            for (int s = 0; s < SPAN; s++) overloaded[v][s] = sum[v][s] = (float16)(0.0f);
        }
        for (int p = 0; p < paths; p++) {
            float16 worst[VMS][SPAN];
#pragma unroll
            for (int v = 0; v < VMS; v++) {
#pragma unroll
                for (int s = 0; s < SPAN; s++) worst[v][s] = (float16)(FAR);
            }
            for (int r = 0; r < resources; r++) {
                float16 inv_cap[SPAN];
#pragma unroll
                for (int s = 0; s < SPAN; s++) inv_cap[s] = vload16(s, host + (1 + r) * hosts + first);
                for (int t = 0; t < steps; t++) {
                    const int cell = p * path_cells + t * resources + r;
                    float16 left[SPAN];
#pragma unroll
                    for (int s = 0; s < SPAN; s++) left[s] = vload16(s, room + cell * hosts + first);
#pragma unroll
                    for (int v = 0; v < VMS; v++) {
                        const float16 d = (float16)(-from[v][cell]);
#pragma unroll
                        for (int s = 0; s < SPAN; s++) {
                            const float16 next = fma(d, inv_cap[s], left[s]);
                            worst[v][s] = next < worst[v][s] ? next : worst[v][s];
                        }
                    }
                }
            }
#pragma unroll
            for (int v = 0; v < VMS; v++) {
#pragma unroll
                for (int s = 0; s < SPAN; s++) {
                    overloaded[v][s] += worst[v][s] < 0.0f ? (float16)(1.0f) : (float16)(0.0f);
                    sum[v][s] += worst[v][s];
                }
            }
        }
#pragma unroll
        for (int v = 0; v < VMS; v++) {
            const int id = first_vm + v;
            if (id >= vms) continue;
            const int present = (int)vm[2 * id + 1] - first;
            float probability[16 * SPAN];
            float headroom[16 * SPAN];
            float cost[16 * SPAN];
            int some = 0;
#pragma unroll
            for (int s = 0; s < SPAN; s++) {
                const float16 share = overloaded[v][s] / (float)paths;
                const float16 mean = sum[v][s] / (float)paths;
                const float16 base = vload16(s, host + first) + vm[2 * id];
                const float16 all = fma((float16)(risk_cost), share, fma((float16)(-room_value), mean, base));
                vstore16(share, s, probability);
                vstore16(mean, s, headroom);
                vstore16(all, s, cost);
                some |= any(all < list_words[3 * (v * TOP_MAX + top) - 1]);
            }
            if (present >= 0 && present < 16 * SPAN) { /* what it uses there is in the load already, and no move */
                still(room + first + present, hosts, paths, path_cells, probability + present, headroom + present);
                cost[present] = fma(risk_cost, probability[present],
                                    fma(-room_value, headroom[present], host[first + present]));
                some = 1;
            }
            if (!some) continue;
            for (int i = 0; i < 16 * SPAN; i++) {
                const int h = first + i;
                const int allowed = (allow[id * (hosts / 32) + h / 32] >> (h % 32)) & 1;
                if (allowed && cost[i] < list_words[3 * (v * TOP_MAX + top) - 1]) {
                    placement_insert(list_host + v * TOP_MAX, list_words + 3 * v * TOP_MAX, top, h, probability[i],
                                     headroom[i], cost[i]);
                }
            }
        }
    }
    for (int v = 0; v < VMS && first_vm + v < vms; v++) {
        for (int slot = 0; slot < top; slot++) {
            const int to = (first_vm + v) * top + slot;
            best[to] = list_host[v * TOP_MAX + slot];
            for (int k = 0; k < 3; k++) score[3 * to + k] = list_words[3 * (v * TOP_MAX + slot) + k];
        }
    }
}
