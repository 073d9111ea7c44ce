// What a boot can be asked to run.
import type { Job } from './job.ts';
import { briefJobs, clientJobs, seccompJobs } from './jobs-clients.ts';
import { crowdJobs } from './jobs-crowd.ts';
import { goldenJobs } from './jobs-golden.ts';
import { acrossJobs } from './jobs-kernels.ts';
import { killJobs } from './jobs-kill.ts';
import { playedJobs } from './jobs-played.ts';
import { programJobs } from './jobs-programs.ts';
import { sanitizerJobs } from './jobs-sanitizers.ts';
import { variantJobs } from './jobs-variants.ts';

export const groups: Record<string, () => Job[]> = {
  clients: clientJobs,
  brief: briefJobs,
  across: acrossJobs,
  seccomp: seccompJobs,
  kill: killJobs,
  crowd: crowdJobs,
  played: playedJobs,
  programs: programJobs,
  sanitizers: sanitizerJobs,
  golden: goldenJobs,
  variants: variantJobs,
};
