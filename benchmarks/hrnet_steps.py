"""What HRNet's repository does with one person, in its order of work and with its calls.

`lib/dataset/JointsDataset.py`, `lib/utils/transforms.py` and `lib/core/inference.py` of
leoxiaobin/deep-high-resolution-net.pytorch at its published settings for COCO, 256 x 192.
"""

import copy
import random

import cv2
import numpy as np
import torch

SIZE, CELLS, SIGMA = np.array([192, 256]), np.array([48, 64]), 2
PAIRS = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12], [13, 14], [15, 16]]
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def get_dir(src_point, rot_rad):
    sn, cs = np.sin(rot_rad), np.cos(rot_rad)
    return [src_point[0] * cs - src_point[1] * sn, src_point[0] * sn + src_point[1] * cs]


def get_3rd_point(a, b):
    direct = a - b
    return b + np.array([-direct[1], direct[0]], dtype=np.float32)


def get_affine_transform(center, scale, rot, output_size, inv=0):
    scale_tmp = scale * 200.0
    src_w, dst_w, dst_h = scale_tmp[0], output_size[0], output_size[1]
    src_dir = get_dir([0, src_w * -0.5], np.pi * rot / 180)
    dst_dir = np.array([0, dst_w * -0.5], np.float32)
    src, dst = np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)
    src[0, :], src[1, :] = center, center + src_dir
    dst[0, :] = [dst_w * 0.5, dst_h * 0.5]
    dst[1, :] = np.array([dst_w * 0.5, dst_h * 0.5]) + dst_dir
    src[2:, :], dst[2:, :] = get_3rd_point(src[0], src[1]), get_3rd_point(dst[0], dst[1])
    if inv:
        return cv2.getAffineTransform(np.float32(dst), np.float32(src))
    return cv2.getAffineTransform(np.float32(src), np.float32(dst))


def affine_transform(pt, t):
    return np.dot(t, np.array([pt[0], pt[1], 1.0]).T)[:2]


def fliplr_joints(joints, joints_vis, width):
    joints[:, 0] = width - joints[:, 0] - 1
    for a, b in PAIRS:
        joints[a, :], joints[b, :] = joints[b, :], joints[a, :].copy()
        joints_vis[a, :], joints_vis[b, :] = joints_vis[b, :], joints_vis[a, :].copy()
    return joints * joints_vis, joints_vis


def half_body_transform(joints, joints_vis):
    upper_joints, lower_joints = [], []
    for joint_id in range(17):
        if joints_vis[joint_id][0] > 0:
            (upper_joints if joint_id < 11 else lower_joints).append(joints[joint_id])
    if np.random.randn() < 0.5 and len(upper_joints) > 2:
        selected = upper_joints
    else:
        selected = lower_joints if len(lower_joints) > 2 else upper_joints
    if len(selected) < 2:
        return None, None
    selected = np.array(selected, dtype=np.float32)
    center = selected.mean(axis=0)[:2]
    left_top, right_bottom = np.amin(selected, axis=0), np.amax(selected, axis=0)
    w, h = right_bottom[0] - left_top[0], right_bottom[1] - left_top[1]
    if w > 0.75 * h:
        h = w * 1.0 / 0.75
    elif w < 0.75 * h:
        w = h * 0.75
    return center, np.array([w * 1.0 / 200, h * 1.0 / 200], dtype=np.float32) * 1.5


def generate_target(joints, joints_vis):
    target_weight = np.ones((17, 1), dtype=np.float32)
    target_weight[:, 0] = joints_vis[:, 0]
    target = np.zeros((17, CELLS[1], CELLS[0]), dtype=np.float32)
    tmp_size = SIGMA * 3
    for joint_id in range(17):
        feat_stride = SIZE / CELLS
        mu_x = int(joints[joint_id][0] / feat_stride[0] + 0.5)
        mu_y = int(joints[joint_id][1] / feat_stride[1] + 0.5)
        ul = [int(mu_x - tmp_size), int(mu_y - tmp_size)]
        br = [int(mu_x + tmp_size + 1), int(mu_y + tmp_size + 1)]
        if ul[0] >= CELLS[0] or ul[1] >= CELLS[1] or br[0] < 0 or br[1] < 0:
            target_weight[joint_id] = 0
            continue
        size = 2 * tmp_size + 1
        x = np.arange(0, size, 1, np.float32)
        y = x[:, np.newaxis]
        x0 = y0 = size // 2
        g = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * SIGMA**2))
        g_x = max(0, -ul[0]), min(br[0], CELLS[0]) - ul[0]
        g_y = max(0, -ul[1]), min(br[1], CELLS[1]) - ul[1]
        img_x = max(0, ul[0]), min(br[0], CELLS[0])
        img_y = max(0, ul[1]), min(br[1], CELLS[1])
        if target_weight[joint_id] > 0.5:
            target[joint_id][img_y[0] : img_y[1], img_x[0] : img_x[1]] = g[
                g_y[0] : g_y[1], g_x[0] : g_x[1]
            ]
    return target, target_weight


def to_normalised(image):
    """ToTensor and Normalize of torchvision."""
    tensor = torch.from_numpy(image.transpose((2, 0, 1))).contiguous().float().div(255)
    mean, std = (torch.as_tensor(v, dtype=torch.float32) for v in (MEAN, STD))
    return tensor.clone().sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))


def sample(record, augment=True):
    """`JointsDataset.__getitem__`: image, target, target_weight, meta."""
    db_rec = copy.deepcopy(record)
    data_numpy = cv2.imread(db_rec["image"], cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    data_numpy = cv2.cvtColor(data_numpy, cv2.COLOR_BGR2RGB)
    joints, joints_vis = db_rec["joints_3d"], db_rec["joints_3d_vis"]
    c, s, r = db_rec["center"], db_rec["scale"], 0
    if augment:
        if np.sum(joints_vis[:, 0]) > 8 and np.random.rand() < 0.3:
            c_half_body, s_half_body = half_body_transform(joints, joints_vis)
            if c_half_body is not None and s_half_body is not None:
                c, s = c_half_body, s_half_body
        s = s * np.clip(np.random.randn() * 0.35 + 1, 1 - 0.35, 1 + 0.35)
        r = np.clip(np.random.randn() * 45, -90, 90) if random.random() <= 0.6 else 0
        if random.random() <= 0.5:
            data_numpy = data_numpy[:, ::-1, :]
            joints, joints_vis = fliplr_joints(joints, joints_vis, data_numpy.shape[1])
            c[0] = data_numpy.shape[1] - c[0] - 1
    trans = get_affine_transform(c, s, r, SIZE)
    image = cv2.warpAffine(data_numpy, trans, tuple(map(int, SIZE)), flags=cv2.INTER_LINEAR)
    image = to_normalised(image)
    for i in range(17):
        if joints_vis[i, 0] > 0.0:
            joints[i, 0:2] = affine_transform(joints[i, 0:2], trans)
    target, target_weight = generate_target(joints, joints_vis)
    meta = {
        "image": db_rec["image"], "joints": joints, "joints_vis": joints_vis,
        "center": c, "scale": s, "rotation": r, "score": 1,
    }  # fmt: skip
    return image, torch.from_numpy(target), torch.from_numpy(target_weight), meta


def flip_back(output_flipped):
    output_flipped = output_flipped[:, :, :, ::-1]
    for a, b in PAIRS:
        tmp = output_flipped[:, a, :, :].copy()
        output_flipped[:, a, :, :] = output_flipped[:, b, :, :]
        output_flipped[:, b, :, :] = tmp
    return output_flipped


def get_max_preds(batch_heatmaps):
    batch_size, num_joints, _, width = batch_heatmaps.shape
    heatmaps_reshaped = batch_heatmaps.reshape((batch_size, num_joints, -1))
    idx = np.argmax(heatmaps_reshaped, 2)
    maxvals = np.amax(heatmaps_reshaped, 2)
    maxvals = maxvals.reshape((batch_size, num_joints, 1))
    idx = idx.reshape((batch_size, num_joints, 1))
    preds = np.tile(idx, (1, 1, 2)).astype(np.float32)
    preds[:, :, 0] = (preds[:, :, 0]) % width
    preds[:, :, 1] = np.floor((preds[:, :, 1]) / width)
    pred_mask = np.tile(np.greater(maxvals, 0.0), (1, 1, 2)).astype(np.float32)
    preds *= pred_mask
    return preds, maxvals


def get_final_preds(batch_heatmaps, center, scale):
    coords, maxvals = get_max_preds(batch_heatmaps)
    height, width = batch_heatmaps.shape[2:]
    for n in range(coords.shape[0]):
        for p in range(coords.shape[1]):
            hm = batch_heatmaps[n][p]
            px, py = int(np.floor(coords[n][p][0] + 0.5)), int(np.floor(coords[n][p][1] + 0.5))
            if 1 < px < width - 1 and 1 < py < height - 1:
                diff = np.array([hm[py][px + 1] - hm[py][px - 1], hm[py + 1][px] - hm[py - 1][px]])
                coords[n][p] += np.sign(diff) * 0.25
    preds = coords.copy()
    for i in range(coords.shape[0]):
        trans = get_affine_transform(center[i], scale[i], 0, [width, height], inv=1)
        for p in range(coords.shape[1]):
            preds[i][p] = affine_transform(coords[i][p], trans)
    return preds, maxvals


def decoded(output, output_flipped, center, scale):
    """The flip test of `validate` and `get_final_preds`, of two outputs of the network."""
    output_flipped = torch.from_numpy(flip_back(output_flipped.cpu().numpy()).copy())
    output_flipped[:, :, :, 1:] = output_flipped.clone()[:, :, :, 0:-1]
    output = (output + output_flipped) * 0.5
    return get_final_preds(output.clone().cpu().numpy(), center, scale)
