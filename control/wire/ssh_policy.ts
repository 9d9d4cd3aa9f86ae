/** Who may log in by SSH. Source: tailcfg.SSHPolicy. */

export interface SSHPolicy {
  /** The first rule that matches decides. */
  readonly rules?: readonly SSHRule[];
}

export interface SSHRule {
  readonly ruleExpires?: string;
  readonly principals?: readonly SSHPrincipal[];
  /** Asked user to local user; "*" matches any, "=" means the same name, "" denies. */
  readonly sshUsers?: Readonly<Record<string, string>>;
  readonly action?: SSHAction;
  readonly acceptEnv?: readonly string[];
}

export interface SSHPrincipal {
  readonly node?: string;
  readonly nodeIP?: string;
  readonly userLogin?: string;
  readonly any?: boolean;
  readonly pubKeys?: readonly string[];
}

export interface SSHAction {
  readonly message?: string;
  readonly reject?: boolean;
  readonly accept?: boolean;
  /** Nanoseconds. */
  readonly sessionDuration?: number;
  readonly allowAgentForwarding?: boolean;
  readonly holdAndDelegate?: string;
  readonly allowLocalPortForwarding?: boolean;
  readonly allowRemotePortForwarding?: boolean;
  readonly recorders?: readonly string[];
  readonly onRecordingFailure?: SSHRecorderFailureAction;
}

export interface SSHRecorderFailureAction {
  readonly RejectSessionWithMessage?: string;
  readonly TerminateSessionWithMessage?: string;
  readonly NotifyURL?: string;
}
