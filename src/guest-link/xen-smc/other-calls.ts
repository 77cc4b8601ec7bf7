// Serves the calls of a guest that carry no message: PSCI's and SMCCC's, where its conduit leads here.
import type { LinkCounters } from '../link-parts.ts'
import type { LogShare } from '../log-share.ts'
import type { CallingVcpus } from './calling-vcpus.ts'
import {
  AFFINITY_INFO,
  answerCall,
  CallAnswer,
  CPU_OFF,
  CPU_ON,
  PSCI_SUCCESS,
  RETURN,
  SYSTEM_OFF,
  SYSTEM_RESET,
  UNCHANGED,
} from './psci.ts'
import type { VcpuPower } from './vcpu-power.ts'

/** x0 of a call that nobody serves: SMCCC NOT_SUPPORTED. */
const CALL_NOT_SUPPORTED = -1

/** One domain's. */
export class OtherCalls {
  readonly #vcpus: CallingVcpus
  readonly #power: VcpuPower
  readonly #counters: LinkCounters
  readonly #log: LogShare
  readonly #answer = new CallAnswer()

  constructor(vcpus: CallingVcpus, power: VcpuPower, counters: LinkCounters, log: LogShare) {
    this.#vcpus = vcpus
    this.#power = power
    this.#counters = counters
    this.#log = log
  }

  /** Does what a vCPU called for, and answers it. */
  serve(vcpu: number): void {
    const vcpus = this.#vcpus
    const context = vcpus.context(vcpu)
    const answer = this.#answer
    answerCall(context.registers, answer)
    switch (answer.action) {
      case RETURN:
        if (answer.value === CALL_NOT_SUPPORTED) this.#counters.unknownCalls++
        return vcpus.answer(vcpu, answer.value)
      case UNCHANGED:
        return vcpus.answerUnchanged(vcpu)
      case CPU_ON:
        return vcpus.answer(vcpu, this.#power.start(answer, context.registers))
      case CPU_OFF:
        context.setOffline()
        return vcpus.answer(vcpu, PSCI_SUCCESS)
      case AFFINITY_INFO:
        return vcpus.answer(vcpu, this.#power.affinity(answer))
      case SYSTEM_OFF:
        this.#log.say('info', 'shuts down')
        this.#power.powerOff()
        return vcpus.answer(vcpu, answer.value)
      case SYSTEM_RESET:
        this.#log.say('info', 'restarts')
        this.#power.reset()
        return vcpus.answer(vcpu, answer.value)
    }
  }

  /** Nobody serves it. */
  refuse(vcpu: number): void {
    this.#counters.unknownCalls++
    this.#vcpus.answer(vcpu, CALL_NOT_SUPPORTED)
  }

  release(): void {
    this.#power.release()
  }
}
