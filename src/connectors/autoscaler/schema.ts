import { z } from 'zod'

export const PROCESSES = ['HealthCheck', 'ReplaceUnhealthy', 'AZRebalance', 'AlarmNotification', 'ScheduledActions', 'InstanceRefresh', 'Launch', 'Terminate', 'AddToLoadBalancer'] as const

export const group = z.object({
  name: z.string(),
  suspended_processes: z.array(z.object({ process_name: z.string(), suspended_by: z.string().nullish() })),
  changed_by: z.string().nullish(),
  evaluated_at: z.string().nullish(),
  activities: z.array(z.object({ activity_id: z.string(), description: z.string(), start_time: z.string(), status: z.string(), instance: z.string().nullish() })),
})
export type Group = z.output<typeof group>

export const target = z.strictObject({
  group: z.string().min(1),
  /** Processes that act on a machine that looks unhealthy; suspending Launch or Terminate would break others, so they are not among them. */
  processes: z.array(z.enum(PROCESSES)).min(1).default(['HealthCheck', 'ReplaceUnhealthy']),
})
/** Which of the target's processes are suspended, in alphabetical order. */
export const setting = z.object({ suspended: z.array(z.string()) })
