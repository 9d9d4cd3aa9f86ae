/**
 * The 10-byte `virtio_net_hdr` that stands in front of every packet of a TUN opened with `IFF_VNET_HDR`.
 *
 * ```
 *   0 u8  flags        1 = NEEDS_CSUM: the checksum at csum_start + csum_offset holds the pseudo-header sum only
 *   1 u8  gso_type     0 none, 1 TCPv4, 4 TCPv6, 5 UDP_L4, 0x80 ECN flag
 *   2 u16 hdr_len      bytes of headers of a super-packet
 *   4 u16 gso_size     payload bytes of each segment
 *   6 u16 csum_start   8 u16 csum_offset
 * ```
 * All fields little-endian. Source: Linux `include/uapi/linux/virtio_net.h`.
 */
export const VIRTIO_LENGTH = 10;
export const NEEDS_CSUM = 1;
export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;
/** Set beside a TCP type when the first segment carries CWR. */
export const GSO_ECN = 0x80;
