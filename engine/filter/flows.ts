/** UDP and SCTP flows seen going out, least recently used first to go. */
export class FlowCache {
}
