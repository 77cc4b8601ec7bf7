// What each property of scmid's configuration means, a sentence or two: the manual and the default configuration are
// made from it. Its keys are the schema's (scmid-schema.ts); a test holds them together.

/** By property path; `[]` stands for the items of a list. */
export const configHelp: Readonly<Record<string, string>> = {
  host: "The host's flattened device tree: which device uses which clock, power domain or reset of the firmware. On a running Dom0 it is /sys/firmware/fdt.",
  firmware: 'The way to the SCMI platform.',
  'firmware.link':
    'Kind of link. embedded: a virtual SCP inside the daemon. stream-socket: a platform in another process.',
  'firmware.platform': 'For embedded: the file that describes the virtual SCP.',
  'firmware.channels': 'For stream-socket: the channels of the agents, 1, 2, … in this order.',
  'firmware.channels[].path': 'Where the platform listens for this channel.',
  'firmware.channels[].agentId': 'The agent id that the platform must answer there; else it is asked.',
  'firmware.channels[].smcId': 'Function id of the channel, to be compared with other channels.',
  'firmware.channels[].shmem': 'Address of its shared memory, to be compared with other channels.',
  'firmware.connectMs': 'For stream-socket: milliseconds to wait for all channels at start; 5000.',
  'firmware.deadlineMs':
    'Milliseconds until a silent platform counts as failed; its guests are answered COMMS_ERROR then.',
  'firmware.management': 'The channel of the trusted agent, which may set permissions.',
  'firmware.management.channel': 'For embedded: its number.',
  'firmware.management.path': 'For stream-socket: where the platform listens for it.',
  'firmware.management.agentId': 'The agent id that the platform must answer there.',
  'firmware.agents':
    'For embedded: what is known of the other channels. The daemon asks each one who it is, and refuses to start when the answer differs, or when an id stands twice.',
  'firmware.agents[].channel': 'Number of the channel.',
  'firmware.agents[].agentId': 'The agent id that the platform must answer there.',
  'firmware.agents[].smcId': 'Function id of the channel, to be compared with other channels.',
  'firmware.agents[].shmem': 'Address of its shared memory, to be compared with other channels.',
  guests: 'What holds for every guest.',
  'guests.maxMessageBytes': 'Largest frame, header and payload, in bytes.',
  'guests.smcId':
    "Function id of the calls that guests make, unless their domain has its own: the tree's arm,smc-id.",
  'guests.unsealedMemory':
    "What becomes of a vhost-user guest's memory that is not sealed against shrinking. copy: it is read and written by system calls, which a shrunken file only makes fail. refuse: the guest is not served.",
  'guests.spinMicros':
    'While commands come within so many microseconds of one another, the next one is looked for that long before the thread that serves guests sleeps. It answers in half the time then, and uses the CPU that it would sleep on. 0: it always sleeps; so it does on a machine of one CPU.',
  xen: 'What holds for every Xen domain whose SMCs the hypervisor hands over.',
  'xen.libraries': "Xen's libraries, where those of the running hypervisor's release are not to be taken.",
  'xen.libraries.xenctrl': 'libxenctrl.',
  'xen.libraries.xenevtchn': 'libxenevtchn.',
  'xen.libraries.xenforeignmemory': 'libxenforeignmemory.',
  'xen.callsAtOnce': 'Calls of all vCPUs of a domain that may follow one another at once.',
  'xen.callsPerSecond': 'How many a second from then on; a guest that calls more often waits.',
  audit: 'The audit log.',
  'audit.queries':
    'Whether queries that were allowed are recorded too. Denials and control messages always are.',
  'audit.recordsPerGuest': 'Records in flight that one guest may have before it is answered BUSY.',
  'audit.maxFileBytes': 'A file of this many bytes is rotated out.',
  'audit.files': 'How many rotated files are kept.',
  log: "The daemon's own log, on standard error.",
  'log.level': 'What is told; SIGHUP takes a new level at once.',
  directories:
    'Where sockets, state and the audit log go. scmictl knows the defaults; with another run directory it wants --socket.',
  'directories.run': 'Sockets and the lock; /run/scmid for root.',
  'directories.state': 'What outlives the daemon; /var/lib/scmid for root.',
  'directories.log': 'The audit log; /var/log/scmid for root.',
  domains: 'Domains to add at start. Others come and go by scmictl domain-add and domain-remove.',
  'domains[].name': 'Its name.',
  'domains[].domid': "The hypervisor's number of it.",
  'domains[].dtb': "The guest's partial device tree, the one that xl gets as device_tree=.",
  'domains[].agentId': 'The agent id it shall have; else the first free one.',
  'domains[].discovery':
    "Whose ids its guest sees. dense: its own, counted from 0. identity: the firmware's. auto: dense where its tree carries the marker that scmictl generate writes, else identity; it is auto where it is left out.",
  'domains[].release':
    'The SCMI release that its guest is shown: older protocol versions than the firmware has, where each message can be told exactly.',
  'domains[].versions':
    "Versions of single protocols that its guest is shown, by the protocol's name: clock: '2.0'.",
  'domains[].trapSocket': 'Where its trapped calls and its shared memory come from.',
  'domains[].messageSocket': 'Where its frames come from, without shared memory.',
  'domains[].vhostUser': 'Where its virtio device is served over vhost-user.',
  'domains[].vhostUser.path':
    'The socket; where the daemon listens and none is named, NAME.sock in the run directory.',
  'domains[].vhostUser.role':
    'server: the daemon listens. client: the virtual machine monitor listens and the daemon connects, again and again, so that the guest outlives a restart of the daemon.',
  'domains[].vhostUser.mode': "Mode of the socket where the daemon listens; '0600'.",
  'domains[].vhostUser.owner': "Owner of the socket where the daemon listens; the daemon's own.",
  'domains[].xen': 'Its SMCs are trapped through the hypervisor; it is the domain of this domid.',
  'domains[].xen.uuid': 'The UUID that it must have.',
  'domains[].xen.conduit':
    'Who serves its PSCI. smc: the daemon, after the guest was changed to call by SMC. psci: the daemon, the guest is left as it is. off: nobody, SCMI alone is served. smc where it is left out.',
  'domains[].xen.leaveArmed': 'When the daemon stops, leave its calls to wait for the next one, not to Xen.',
  toolstack:
    'Where domains come from by themselves. xen: every domain of the hypervisor is held until it has its rights; docs/xen.md.',
  'toolstack.kind': 'With none, the operator alone adds domains.',
  'toolstack.xenstore':
    "xenstored's socket, or the kernel's device for one in a domain of its own; else the usual socket, or /dev/xen/xenbus.",
  'toolstack.userdata': 'Where libxl keeps what it knows of domains.',
  'toolstack.late':
    'What becomes of a domain that had run before it could be held: deny lets it run without SCMI.',
  'toolstack.refused': 'What becomes of a domain that cannot be granted what its tree asks for.',
  'toolstack.configurationMs': 'Milliseconds that a domain is held for its configuration to appear.',
  'toolstack.conduit':
    "Who serves the guests' PSCI: smc has their tree changed so that they call by SMC, psci leaves it as it is, off serves SCMI alone.",
  'toolstack.leaveArmed':
    "Whether guests' calls wait for the next daemon when this one stops, instead of being Xen's.",
  'toolstack.domains': 'What holds for single domains, by name.',
  'toolstack.domains[].name': 'Its name.',
  'toolstack.domains[].agentId': 'The agent id it shall have; else the first free one.',
  'toolstack.domains[].conduit': 'As toolstack.conduit.',
  'toolstack.domains[].leaveArmed': 'As toolstack.leaveArmed.',
  'toolstack.domains[].smcId': 'Function id of its calls, where not the one that its tree names.',
  'domains[].smcId': "Function id of its calls, where not guests.smcId's.",
}
