/* Cheapest hosts of VMS virtual machines per group; README.md has the maths, spec.rs the layout.
 *
 * The items take the hosts in tiles, SPAN hosts each, and score them for all VMS machines at once, so that a load of room
 * or demand serves several sums. Then one item per machine puts the tile's costs into the machine's list.
 */
#define VMS 8
#define SPAN 2
#define TILE (64 * SPAN)
#define ROW (TILE + 1) /* odd, so that the items that read the lists use different banks */
#define TOP_MAX 8
#define FORBIDDEN 3.0e38f
#define FAR 3.4e38f

/* Puts a host into a list that is sorted by cost; equals stay in the order of their coming. */
DEVFN void placement_insert(LOCAL_PTR int* hosts, LOCAL_PTR float* words, int top, int host, float probability,
                            float headroom, float cost) {
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

/* Probability and headroom of a host for the machine that is there: what it uses is in the load already. */
DEVFN void placement_still(GLOBAL const float* room, int hosts, int paths, int path_cells,
                           LOCAL_PTR float* probability, LOCAL_PTR float* headroom) {
    float overloaded = 0.0f;
    float sum = 0.0f;
    for (int p = 0; p < paths; p++) {
        float worst = FAR;
        for (int c = 0; c < path_cells; c++) worst = FMIN(worst, room[(p * path_cells + c) * hosts]);
        overloaded += worst < 0.0f ? 1.0f : 0.0f;
        sum += worst;
    }
    *probability = overloaded / (float)paths;
    *headroom = sum / (float)paths;
}

KERNEL void placement_score(GLOBAL const float* RESTRICT demand, GLOBAL const float* RESTRICT room,
                            GLOBAL const float* RESTRICT host, GLOBAL const float* RESTRICT vm,
                            GLOBAL const int* RESTRICT allow, GLOBAL int* RESTRICT best, GLOBAL float* RESTRICT score,
                            int vms, int hosts, int paths, int steps, int resources, int top, float risk_cost,
                            float room_value) {
    LOCAL float cost[VMS * ROW];
    LOCAL float probability[VMS * ROW];
    LOCAL float headroom[VMS * ROW];
    LOCAL int list_host[VMS * TOP_MAX];
    LOCAL float list_words[VMS * TOP_MAX * 3];
    const int first_vm = GROUP_ID * VMS;
    const int path_cells = steps * resources;
    const int cells = paths * path_cells;

    PHASE { /* 64 items, 64 places */
        list_host[ITEM] = -1;
        list_words[3 * ITEM] = 0.0f;
        list_words[3 * ITEM + 1] = 0.0f;
        list_words[3 * ITEM + 2] = FORBIDDEN;
    } END_PHASE

    for (int first = 0; first < hosts; first += TILE) {
        PHASE {
            float overloaded[VMS * SPAN];
            float sum[VMS * SPAN];
            int from[VMS]; /* a machine's demand; the last one stands in for those that do not exist */
            int at[SPAN];  /* a host; the last one stands in likewise */
            for (int v = 0; v < VMS; v++) {
                from[v] = (first_vm + v < vms ? first_vm + v : vms - 1) * cells;
            }
            for (int s = 0; s < SPAN; s++) {
                const int h = first + 64 * s + ITEM;
                at[s] = h < hosts ? h : hosts - 1;
            }
            for (int i = 0; i < VMS * SPAN; i++) {
                overloaded[i] = 0.0f;
                sum[i] = 0.0f;
            }
            for (int p = 0; p < paths; p++) {
                float worst[VMS * SPAN];
                for (int i = 0; i < VMS * SPAN; i++) worst[i] = FAR;
                for (int r = 0; r < resources; r++) {
                    float inv_cap[SPAN];
                    for (int s = 0; s < SPAN; s++) inv_cap[s] = host[(1 + r) * hosts + at[s]];
                    for (int t = 0; t < steps; t++) {
                        const int cell = p * path_cells + t * resources + r;
                        float left[SPAN];
                        for (int s = 0; s < SPAN; s++) left[s] = room[cell * hosts + at[s]];
                        for (int v = 0; v < VMS; v++) {
                            const float d = -demand[from[v] + cell];
                            for (int s = 0; s < SPAN; s++) {
                                worst[v * SPAN + s] = FMIN(worst[v * SPAN + s], FMA(d, inv_cap[s], left[s]));
                            }
                        }
                    }
                }
                for (int i = 0; i < VMS * SPAN; i++) {
                    overloaded[i] += worst[i] < 0.0f ? 1.0f : 0.0f;
                    sum[i] += worst[i];
                }
            }
            /* From here on by running index, which sums in registers do not allow. */
            for (int v = 0; v < VMS; v++) {
                for (int s = 0; s < SPAN; s++) {
                    probability[v * ROW + 64 * s + ITEM] = overloaded[v * SPAN + s] / (float)paths;
                    headroom[v * ROW + 64 * s + ITEM] = sum[v * SPAN + s] / (float)paths;
                }
            }
            for (int i = 0; i < VMS * SPAN; i++) {
                const int v = i / SPAN;
                const int id = first_vm + v;
                const int h = first + 64 * (i % SPAN) + ITEM;
                const int to = v * ROW + 64 * (i % SPAN) + ITEM;
                cost[to] = FORBIDDEN;
                if (id < vms && h < hosts && ((allow[id * (hosts / 32) + h / 32] >> (h % 32)) & 1)) {
                    const int stays = vm[2 * id + 1] == (float)h;
                    if (stays) {
                        placement_still(room + h, hosts, paths, path_cells, probability + to, headroom + to);
                    }
                    cost[to] = FMA(risk_cost, probability[to],
                                   FMA(-room_value, headroom[to], host[h] + (stays ? 0.0f : vm[2 * id])));
                }
            }
        } END_PHASE

        PHASE {
            if (ITEM < VMS) {
                for (int i = 0; i < TILE; i++) {
                    const int from = ITEM * ROW + i;
                    if (cost[from] < list_words[3 * (ITEM * TOP_MAX + top) - 1]) {
                        placement_insert(list_host + ITEM * TOP_MAX, list_words + 3 * ITEM * TOP_MAX, top, first + i,
                                         probability[from], headroom[from], cost[from]);
                    }
                }
            }
        } END_PHASE
    }

    PHASE {
        const int id = first_vm + ITEM / TOP_MAX;
        const int slot = ITEM % TOP_MAX;
        if (id < vms && slot < top) {
            best[id * top + slot] = list_host[ITEM];
            for (int k = 0; k < 3; k++) score[3 * (id * top + slot) + k] = list_words[3 * ITEM + k];
        }
    } END_PHASE
}
