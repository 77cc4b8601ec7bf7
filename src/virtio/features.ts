// Feature bits of virtio, of its SCMI device and of vhost-user, as numbers and as the two words that carry them.

/** VIRTIO_SCMI_F_P2A_CHANNELS, in the low word. */
export const F_P2A_CHANNELS = 1 << 0
export const F_INDIRECT_DESC = 1 << 28
export const F_EVENT_IDX = 1 << 29
/** VHOST_USER_F_PROTOCOL_FEATURES: between front end and back end, never a guest's. */
export const F_PROTOCOL_FEATURES = 1 << 30
/** In the high word: bit 32. */
export const F_VERSION_1_HIGH = 1 << 0

/** Bits of GET_PROTOCOL_FEATURES. */
export const PROTOCOL_MQ = 1 << 0
export const PROTOCOL_REPLY_ACK = 1 << 3
export const PROTOCOL_INFLIGHT_SHMFD = 1 << 12
export const PROTOCOL_CONFIGURE_MEM_SLOTS = 1 << 15
